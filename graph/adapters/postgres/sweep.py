"""The sweep's statements; each is one bounded batch, and two at once skip each other's rows."""

from datetime import datetime

from graph.adapters.postgres.database import Database
from graph.runtime.models import StepJob


class Sweep:
    """`SweepStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def overdue(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[StepJob, str]]:
        params = {"grace": grace, "limit": limit, "now": now}
        return [
            (StepJob(row["thread_id"], row["seq"], redelivered=True), row["owner"])
            for row in await self.db.all("overdue", params)
        ]

    async def expire_threads(self, *, limit: int, now: datetime | None = None) -> int:
        return len(await self.db.all("expire_threads", {"limit": limit, "now": now}))

    async def stale_threads(self, *, limit: int, now: datetime | None = None) -> list[str]:
        rows = await self.db.all("stale_threads", {"limit": limit, "now": now})
        return [row["thread_id"] for row in rows]

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        params = {"older_than": older_than, "limit": limit, "now": now}
        return len(await self.db.all("prune_runs", params))
