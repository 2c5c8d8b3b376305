"""Events on memory."""

from collections.abc import Mapping, Sequence

from graph.adapters.memory.tables import MemoryTables
from graph.runtime.heard import Heard
from graph.runtime.models import Claim, Event


class MemoryEvents(MemoryTables):
    """`EventStore` on memory."""

    async def tell(self, claim: Claim, events: Sequence[Event]) -> bool:
        row = self._fenced(claim)
        self.tables.add_events(row, claim, events)
        return row.watched(self.clock())

    async def heard(self, after: Mapping[str, int], *, limit: int = 100) -> list[Heard]:
        known = [run_id for run_id in after if run_id in self.tables.runs]
        return [self._heard(run_id, after[run_id], limit) for run_id in known]

    def _heard(self, run_id: str, after: int, limit: int) -> Heard:
        run = self.tables.runs[run_id]
        told = [event for _, event in self.tables.events.get(run_id, [])]
        return Heard(
            run_id=run_id,
            status=run.status,
            error=run.error,
            head=run.head,
            last=told[-1].seq if told else 0,
            events=tuple([event for event in told if event.seq > after][:limit]),
        )
