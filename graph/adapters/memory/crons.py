"""Crons on memory."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from graph.adapters.memory.runs import MemoryRuns
from graph.errors import NotFound
from graph.runtime.containment import contains
from graph.runtime.models import Created, Cron, CronQuery, Firing, Json

EVER = datetime.min.replace(tzinfo=UTC)


class MemoryCrons(MemoryRuns):
    """`CronStore` on memory."""

    async def create_cron(self, cron: Cron) -> Cron:
        if cron.thread_id is not None:
            self._owned(cron.thread_id, cron.owner)
        made = cron.made_assistant
        if made is not None and (cron.owner, made) not in self.tables.assistants:
            raise NotFound(f"assistant {made} does not exist")
        now = self.clock()
        self.tables.crons[cron.cron_id] = replace(deepcopy(cron), created_at=now, updated_at=now)
        return deepcopy(self.tables.crons[cron.cron_id])

    async def get_cron(self, cron_id: str, owner: str) -> Cron:
        cron = self.tables.crons.get(cron_id)
        if cron is None or cron.owner != owner:
            raise NotFound(f"cron {cron_id} does not exist")
        return deepcopy(cron)

    async def replace_cron(self, cron: Cron, *, seen: Cron) -> Cron | None:
        stands = self.tables.crons.get(seen.cron_id)
        if stands is None or (stands.owner, stands.updated_at) != (cron.owner, seen.updated_at):
            return None
        moves = cron.next_run_date != seen.next_run_date
        self.tables.crons[seen.cron_id] = replace(
            deepcopy(cron),
            next_run_date=cron.next_run_date if moves else stands.next_run_date,
            error=stands.error,
            updated_at=self.clock(),
        )
        return deepcopy(self.tables.crons[seen.cron_id])

    async def delete_cron(self, cron_id: str, owner: str) -> None:
        await self.get_cron(cron_id, owner)
        del self.tables.crons[cron_id]

    async def search_crons(self, owner: str, query: CronQuery) -> tuple[list[Cron], int]:
        found = [c for c in self.tables.crons.values() if c.owner == owner and _matches(c, query)]
        found.sort(key=lambda cron: cron.cron_id, reverse=query.descending)
        found.sort(key=lambda cron: _place(cron, query.sort_by), reverse=query.descending)
        found.sort(key=lambda cron: getattr(cron, query.sort_by) is None)
        return deepcopy(found[query.offset : query.offset + query.limit]), len(found)

    async def due_crons(self, *, now: datetime, limit: int) -> list[Cron]:
        due = [c for c in self.tables.crons.values() if c.next_run_date and c.next_run_date <= now]
        return deepcopy(sorted(due, key=lambda cron: cron.next_run_date or EVER)[:limit])

    async def fire_cron(self, firing: Firing) -> Created | None:
        if not self._is_due(firing.cron):
            return None
        if firing.cron.thread_id is not None:
            created = await self.create_run(firing.new)
        else:
            (created,) = await self.create_alone([firing.new])
        self._move(firing.cron, firing.next_run_date, None)
        return created

    async def skip_cron(self, cron: Cron, *, next_run_date: datetime | None, error: Json) -> bool:
        is_due = self._is_due(cron)
        if is_due:
            self._move(cron, next_run_date, error)
        return is_due

    def _is_due(self, cron: Cron) -> bool:
        stands = self.tables.crons.get(cron.cron_id)
        return stands is not None and stands.next_run_date == cron.next_run_date

    def _move(self, cron: Cron, to: datetime | None, error: Json | None) -> None:
        stands = self.tables.crons[cron.cron_id]
        self.tables.crons[cron.cron_id] = replace(stands, next_run_date=to, error=error)


def _matches(cron: Cron, query: CronQuery) -> bool:
    return (
        query.assistant_id in (None, cron.assistant_id)
        and query.thread_id in (None, cron.thread_id)
        and query.enabled in (None, cron.enabled)
        and contains(cron.metadata, query.metadata)
    )


def _place(cron: Cron, name: str) -> Any:
    """What it is sorted by; those without are sorted behind all others afterwards."""
    value = getattr(cron, name)
    return value if value is not None else EVER if name != "thread_id" else ""
