"""The checkpoint rows' statements."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import newest_root, row_params, stored
from graph.errors import Conflict
from graph.runtime.models import Json, Rows, Stored, Thinned


class CheckpointRows:
    """`CheckpointStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def load(self, thread_id: str, ns: str, checkpoint_id: str | None) -> Stored | None:
        params = {"thread_id": thread_id, "ns": ns, "checkpoint_id": checkpoint_id}
        row = await self.db.one("load", params)
        return stored(row) if row else None

    async def history(
        self,
        thread_id: str | None,
        ns: str | None,
        *,
        before: str | None = None,
        metadata: Json | None = None,
        limit: int | None = None,
    ) -> list[tuple[str, Stored]]:
        params = {
            "thread_id": thread_id,
            "ns": ns,
            "before": before,
            "holds": Jsonb(metadata or {}),
            "limit": limit,
        }
        rows = await self.db.all("history", params)
        return [(row["thread_id"], found) for row in rows if (found := stored(row))]

    async def put(self, thread_id: str, rows: Rows) -> None:
        params = {"thread_id": thread_id, "head": newest_root(rows)}
        await self.db.all("put", params | row_params(rows))

    async def delete_checkpoints(
        self, *, thread_id: str | None = None, run_ids: Sequence[str] = ()
    ) -> None:
        params = {"thread_id": thread_id, "run_ids": list(run_ids)}
        await self.db.all("delete_checkpoints", params)

    async def copy_checkpoints(self, source: str, target: str) -> None:
        try:
            row = await self.db.one("copy_checkpoints", {"source": source, "target": target})
        except UniqueViolation:  # rows of a thread that has no head
            row = {"copied": False}
        if row and not row["copied"]:
            raise Conflict(f"thread {target} has checkpoints already: copy to one without")

    async def thin(
        self,
        keeps: Mapping[str, str],
        *,
        limit: int,
        recent: float = 0.0,
        now: datetime | None = None,
    ) -> Thinned:
        params = {
            "thread_ids": list(keeps),
            "keeps": list(keeps.values()),
            "limit": limit,
            "recent": recent,
            "now": now,
        }
        rows = await self.db.all("thin", params)
        return Thinned(
            threads=frozenset(row["thread_id"] for row in rows),
            dropped=sum(row["dropped"] for row in rows),
            rest=frozenset(row["thread_id"] for row in rows if row["left_over"]),
        )
