"""The port of sweep."""

from datetime import datetime
from typing import Protocol

from graph.runtime.models import StepJob


class SweepStore(Protocol):
    """Bounded batches of housekeeping, each one statement and safe to run twice at once."""

    async def overdue(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[StepJob, str]]:
        """Active, unleased, due threads nothing has rung for `grace` seconds, with their owners.

        Marks them rung.
        """
        ...

    async def expire_threads(self, *, limit: int, now: datetime | None = None) -> int:
        """Delete idle threads past their TTL; how many."""
        ...

    async def stale_threads(self, *, limit: int, now: datetime | None = None) -> list[str]:
        """Idle threads past a `keep_latest` TTL that still have history."""
        ...

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        """Delete runs that ended `older_than` seconds ago; how many."""
        ...
