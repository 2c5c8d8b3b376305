"""Threads on memory: created, found, changed, deleted."""

from copy import deepcopy
from typing import Any

from graph.adapters.memory.containment import contains
from graph.adapters.memory.tables import MemoryTables
from graph.errors import Conflict
from graph.runtime.models import Json, Thread, ThreadQuery


class MemoryThreads(MemoryTables):
    """`ThreadStore` on memory."""

    async def create_thread(self, thread: Thread, *, if_exists: str = "raise") -> Thread:
        row = self.tables.threads.get(thread.thread_id)
        if row is None:
            self.tables.add_thread(deepcopy(thread))
            return deepcopy(thread)
        if if_exists != "do_nothing" or row.thread.owner != thread.owner:
            raise Conflict(f"thread {thread.thread_id} exists already: choose another id")
        return deepcopy(row.thread)

    async def get_thread(self, thread_id: str, owner: str) -> Thread:
        return deepcopy(self._owned(thread_id, owner).thread)

    async def search_threads(self, owner: str, query: ThreadQuery) -> tuple[list[Thread], int]:
        found = [
            row.thread
            for row in self.tables.threads.values()
            if row.thread.owner == owner and _matches(row.thread, query)
        ]
        found.sort(key=lambda t: (getattr(t, query.sort_by), t.thread_id), reverse=query.descending)
        page = found[query.offset : query.offset + query.limit]
        return deepcopy(page), len(found)

    async def update_thread(
        self,
        thread_id: str,
        owner: str,
        *,
        metadata: Json | None = None,
        ttl: tuple[float, str] | None = None,
    ) -> Thread:
        row = self._owned(thread_id, owner)
        changes: dict[str, Any] = {"updated_at": self.clock()}
        if metadata is not None:
            changes["metadata"] = {**row.thread.metadata, **deepcopy(metadata)}
        if ttl is not None:
            changes["ttl_minutes"], changes["ttl_strategy"] = ttl
        row.update(**changes)
        return deepcopy(row.thread)

    async def delete_thread(self, thread_id: str, owner: str) -> None:
        self._owned(thread_id, owner)
        self.tables.drop_thread(thread_id)


def _matches(thread: Thread, query: ThreadQuery) -> bool:
    return (
        contains(thread.metadata, query.metadata)
        and (not query.ids or thread.thread_id in query.ids)
        and query.status in (None, thread.status)
    )
