"""The port of sweep."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from graph.runtime.models import Backlog, StepJob


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

    async def worn_threads(
        self, keep: str, *, window: int, limit: int, now: datetime | None = None
    ) -> Mapping[str, str]:
        """The next threads at rest that may have too much history, each with what it keeps.

        That is `keep`, or what the thread's assistant says, or "latest" past a `keep_latest` TTL.
        A walk through all threads finds them: each call goes on where the last one stopped, passes
        `window` threads at most, and begins anew after the last.
        """
        ...

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        """Delete runs that ended `older_than` seconds ago; how many."""
        ...

    async def prune_keys(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        """Delete API keys that expired `older_than` seconds ago, and buckets that are full again.

        How many they were.
        """
        ...

    async def backlog(
        self, *, grace: float, older_than: float, limit: int, now: datetime | None = None
    ) -> Backlog:
        """What waits for the sweep, each counted up to `limit`."""
        ...
