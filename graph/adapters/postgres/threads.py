"""The threads' statements."""

from collections.abc import Mapping, Sequence

from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import row_params, stored, thread
from graph.adapters.postgres.searches import page_of
from graph.errors import Conflict, NotFound
from graph.runtime.models import NO_ROWS, Json, Rows, Stored, Thread, ThreadQuery


class Threads:
    """`ThreadStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def create_thread(
        self, thread: Thread, *, rows: Rows = NO_ROWS, if_exists: str = "raise"
    ) -> Thread:
        params = {
            "thread_id": thread.thread_id,
            "owner": thread.owner,
            "metadata": Jsonb(thread.metadata),
            "config": Jsonb(thread.config),
            "ttl_minutes": thread.ttl_minutes,
            "ttl_strategy": thread.ttl_strategy,
            "status": thread.status,
            "head": thread.head,
            "interrupts": Jsonb(thread.interrupts),
        }
        row = await self.db.one("create_thread", params | row_params(rows))
        if row is not None:
            return _thread(row)
        if if_exists == "do_nothing":
            try:
                return await self.get_thread(thread.thread_id, thread.owner)
            except NotFound:  # somebody else's: do not say so
                pass
        raise Conflict(f"thread {thread.thread_id} exists already")

    async def get_thread(self, thread_id: str, owner: str) -> Thread:
        row = await self.db.one("get_thread", {"thread_id": thread_id, "owner": owner})
        if row is None:
            raise NotFound(f"thread {thread_id} does not exist")
        return _thread(row)

    async def copy_thread(self, thread_id: str, owner: str, target: str) -> Thread:
        params = {"source": thread_id, "owner": owner, "target": target}
        row = await self.db.one("copy_thread", params)
        if row is None:
            await self.get_thread(thread_id, owner)
            raise Conflict(f"thread {target} exists already: choose another id")
        return _thread(row)

    async def heads(self, thread_ids: Sequence[str], owner: str) -> Mapping[str, Stored]:
        rows = await self.db.all("heads", {"thread_ids": list(thread_ids), "owner": owner})
        return {row["thread_id"]: found for row in rows if (found := stored(row))}

    async def search_threads(self, owner: str, query: ThreadQuery) -> tuple[list[Thread], int]:
        rows, total = await page_of(
            self.db,
            "threads",
            query,
            owner=owner,
            holds=Jsonb(query.metadata),
            ids=list(query.ids),
            status=query.status,
        )
        return [_thread(row) for row in rows], total

    async def update_thread(
        self,
        thread_id: str,
        owner: str,
        *,
        metadata: Json | None = None,
        ttl: tuple[float, str] | None = None,
    ) -> Thread:
        minutes, strategy = ttl or (None, None)
        params = {
            "thread_id": thread_id,
            "owner": owner,
            "metadata": Jsonb(metadata) if metadata else None,
            "ttl_minutes": minutes,
            "ttl_strategy": strategy,
        }
        row = await self.db.one("update_thread", params)
        if row is None:
            raise NotFound(f"thread {thread_id} does not exist")
        return _thread(row)

    async def delete_thread(self, thread_id: str, owner: str) -> None:
        params = {"thread_id": thread_id, "owner": owner}
        if await self.db.one("delete_thread", params) is None:
            raise NotFound(f"thread {thread_id} does not exist")

    async def delete_threads(self, thread_ids: Sequence[str], owner: str) -> int:
        params = {"thread_ids": list(thread_ids), "owner": owner}
        return len(await self.db.all("delete_threads", params))

    async def idle_threads(self, thread_ids: Sequence[str], owner: str) -> list[str]:
        params = {"thread_ids": list(thread_ids), "owner": owner}
        return [row["thread_id"] for row in await self.db.all("idle_threads", params)]


_thread = thread
