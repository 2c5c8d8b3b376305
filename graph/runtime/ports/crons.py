"""The port of crons."""

from datetime import datetime
from typing import Protocol

from graph.runtime.models import Created, Cron, CronQuery, Firing, Json


class CronStore(Protocol):
    """Crons, for clients and for the sweep that fires them; no owner sees another's."""

    async def create_cron(self, cron: Cron) -> Cron:
        """Raises NotFound without its thread, or without the assistant that it goes with."""
        ...

    async def get_cron(self, cron_id: str, owner: str) -> Cron:
        """Raises NotFound."""
        ...

    async def replace_cron(self, cron: Cron, *, seen: Cron) -> Cron | None:
        """Put a cron in the place of what was seen of it; None if that has changed meanwhile."""
        ...

    async def delete_cron(self, cron_id: str, owner: str) -> None:
        """Raises NotFound. What it fired goes on."""
        ...

    async def search_crons(self, owner: str, query: CronQuery) -> tuple[list[Cron], int]:
        """One page and the number of all matches."""
        ...

    async def due_crons(self, *, now: datetime, limit: int) -> list[Cron]:
        """Those whose next firing is due, whoever owns them, the longest overdue first."""
        ...

    async def fire_cron(self, firing: Firing) -> Created | None:
        """Make the run of a due time and move the cron on to the next, both or neither.

        Without a thread of the cron's own, one is made for the run. None if that due time has been
        dealt with. Raises what `create_run` raises.
        """
        ...

    async def skip_cron(self, cron: Cron, *, next_run_date: datetime | None, error: Json) -> bool:
        """Move a cron on without a run and keep why; False if the due time has been dealt with."""
        ...
