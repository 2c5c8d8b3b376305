"""The statements by which threads are copied from elsewhere; a tool's, no function's."""

from collections.abc import Set

from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.runtime.models import Json, Thread

IMPORTING, IMPORTED = "importing", "imported"  # in a thread's metadata


class Imports:
    """Threads on their way in: without an owner, so nobody sees them, until `end`."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def begin(self, thread_id: str) -> Json:
        """The metadata of the thread, which is made if it is missing."""
        row = await self.db.one("import_begin", {"thread_id": thread_id})
        if row is None:  # somebody else made it in this very moment
            row = await self.db.one("import_begin", {"thread_id": thread_id})
        assert row is not None, "the thread is there"
        metadata: Json = row["metadata"]
        return metadata

    async def has(self, thread_id: str) -> Set[tuple[str, str]]:
        """The (namespace, id)s of the checkpoints that are there."""
        rows = await self.db.all("import_has", {"thread_id": thread_id})
        return {(row["ns"], row["checkpoint_id"]) for row in rows}

    async def end(self, thread: Thread) -> bool:
        """Give the thread to its owner; False if it was not on its way in."""
        params = {
            "thread_id": thread.thread_id,
            "owner": thread.owner,
            "status": thread.status,
            "head": thread.head,
            "interrupts": Jsonb(thread.interrupts),
            "metadata": Jsonb(thread.metadata),
            "created_at": thread.created_at,
            "updated_at": thread.updated_at,
        }
        return await self.db.one("import_end", params) is not None
