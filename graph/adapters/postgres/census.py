"""The counts that /metrics tells."""

from datetime import datetime

from graph.adapters.postgres.database import Database
from graph.runtime.models import Census


class Counts:
    """`CensusStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def census(self, *, now: datetime | None = None) -> Census:
        row = await self.db.one("census", {"now": now})
        assert row is not None, "counts are always there"
        return Census(**row)
