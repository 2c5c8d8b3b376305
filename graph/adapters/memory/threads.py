"""Threads on memory: created, found, changed, deleted."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from graph.adapters.memory.shelf import ROOT
from graph.adapters.memory.tables import MemoryTables, ThreadRow
from graph.errors import Conflict
from graph.runtime.containment import contains
from graph.runtime.models import NO_ROWS, Json, Rows, Stored, Thread, ThreadQuery, ThreadStatus
from graph.usage import NOTHING


class MemoryThreads(MemoryTables):
    """`ThreadStore` on memory."""

    async def create_thread(
        self, thread: Thread, *, rows: Rows = NO_ROWS, if_exists: str = "raise"
    ) -> Thread:
        row = self.tables.threads.get(thread.thread_id)
        if row is None:
            self.tables.add_thread(deepcopy(thread))
            self.tables.shelf(thread.thread_id).add(rows)
            return deepcopy(thread)
        if if_exists != "do_nothing" or row.thread.owner != thread.owner:
            raise Conflict(f"thread {thread.thread_id} exists already: choose another id")
        return deepcopy(row.thread)

    async def get_thread(self, thread_id: str, owner: str) -> Thread:
        return deepcopy(self._owned(thread_id, owner).thread)

    async def copy_thread(self, thread_id: str, owner: str, target: str) -> Thread:
        source, now = self._owned(thread_id, owner).thread, self.clock()
        if target in self.tables.threads:
            raise Conflict(f"thread {target} exists already: choose another id")
        rest: dict[str, Any] = {}
        if source.active_run_id is not None:
            rest = {"status": ThreadStatus.IDLE, "interrupts": {}, "error": None}
        fresh: dict[str, Any] = {"active_run_id": None, "queued": (), "seq": 0, "spent": NOTHING}
        copy = replace(source, thread_id=target, created_at=now, updated_at=now, **fresh, **rest)
        self.tables.add_thread(deepcopy(copy))
        self.tables.shelf(target).add(self.tables.shelf(thread_id).rows())
        return deepcopy(copy)

    async def heads(self, thread_ids: Sequence[str], owner: str) -> Mapping[str, Stored]:
        own = [row.thread for row in self._own(thread_ids, owner)]
        heads = {
            t.thread_id: self.tables.shelf(t.thread_id).stored((ROOT, t.head))
            for t in own
            if t.head
        }
        return {thread_id: stored for thread_id, stored in heads.items() if stored}

    async def search_threads(self, owner: str, query: ThreadQuery) -> tuple[list[Thread], int]:
        found = [
            row.thread
            for row in self.tables.threads.values()
            if row.thread.owner == owner and _matches(row.thread, query)
        ]
        found.sort(key=lambda t: (self._sorted_by(t, query), t.thread_id), reverse=query.descending)
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

    async def delete_threads(self, thread_ids: Sequence[str], owner: str) -> int:
        own = self._own(thread_ids, owner)
        for row in own:
            self.tables.drop_thread(row.thread.thread_id)
        return len(own)

    async def idle_threads(self, thread_ids: Sequence[str], owner: str) -> list[str]:
        now = self.clock()
        rows = self._own(thread_ids, owner)
        idle = (row for row in rows if not (row.thread.active_run_id or row.leased(now)))
        return [row.thread.thread_id for row in idle]

    def _own(self, thread_ids: Sequence[str], owner: str) -> list[ThreadRow]:
        rows = (self.tables.threads.get(thread_id) for thread_id in dict.fromkeys(thread_ids))
        return [row for row in rows if row and row.thread.owner == owner]

    def _sorted_by(self, thread: Thread, query: ThreadQuery) -> Any:
        if query.sort_by != "state_updated_at":
            return getattr(thread, query.sort_by)
        return self.tables.shelf(thread.thread_id).written((ROOT, thread.head or ""))


def _matches(thread: Thread, query: ThreadQuery) -> bool:
    return (
        contains(thread.metadata, query.metadata)
        and (not query.ids or thread.thread_id in query.ids)
        and query.status in (None, thread.status)
    )
