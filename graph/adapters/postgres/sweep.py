"""The sweep's statements; each is one bounded batch, and two at once skip each other's rows."""

from collections.abc import Mapping
from datetime import datetime

from graph.adapters.postgres.database import Database
from graph.runtime.models import Backlog, StepJob
from graph.runtime.retention import KEEPS


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

    async def worn_threads(
        self, keep: str, *, window: int, limit: int, now: datetime | None = None
    ) -> Mapping[str, str]:
        params = {
            "keep": keep,
            "valid": f"^({KEEPS})$",
            "window": window,
            "limit": limit,
            "now": now,
        }
        rows = await self.db.all("worn_threads", params)
        return {row["thread_id"]: row["keep"] for row in rows}

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        params = {"older_than": older_than, "limit": limit, "now": now}
        return len(await self.db.all("prune_runs", params))

    async def prune_keys(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        params = {"older_than": older_than, "limit": limit, "now": now}
        row = await self.db.one("prune_keys", params)
        assert row is not None, "a count is always there"
        return int(row["pruned"])

    async def backlog(
        self, *, grace: float, older_than: float, limit: int, now: datetime | None = None
    ) -> Backlog:
        params = {"grace": grace, "older_than": older_than, "limit": limit, "now": now}
        row = await self.db.one("backlog", params)
        assert row is not None, "counts are always there"
        return Backlog(**row)
