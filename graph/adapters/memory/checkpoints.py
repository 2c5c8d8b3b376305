"""Checkpoint rows on memory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from graph.adapters.memory.shelf import ROOT, Place, Shelf, newest_root
from graph.adapters.memory.tables import MemoryTables
from graph.adapters.memory.thinning import excess
from graph.errors import Conflict
from graph.runtime.containment import contains
from graph.runtime.models import CheckpointRow, Json, Rows, Stored, Thinned
from graph.runtime.retention import LATEST


class MemoryCheckpoints(MemoryTables):
    """`CheckpointStore` on memory."""

    async def load(self, thread_id: str, ns: str, checkpoint_id: str | None) -> Stored | None:
        wanted = checkpoint_id or self._newest(thread_id, ns)
        return self.tables.shelf(thread_id).stored((ns, wanted)) if wanted else None

    async def history(
        self,
        thread_id: str | None,
        ns: str | None,
        *,
        before: str | None = None,
        metadata: Json | None = None,
        limit: int | None = None,
    ) -> list[tuple[str, Stored]]:
        shelves = self.tables.shelves
        chosen = [thread_id] if thread_id is not None else list(shelves)
        found = [
            (written, name, (row.ns, row.checkpoint_id))
            for name in chosen
            if name in shelves
            for written, row in _older(shelves[name], ns, before)
            if contains(row.metadata, metadata or {})
        ]
        found.sort(reverse=True)
        pairs = ((name, shelves[name].stored(place)) for _, name, place in found[:limit])
        return [(name, stored) for name, stored in pairs if stored]

    async def put(self, thread_id: str, rows: Rows) -> None:
        row = self._made(thread_id)
        self.tables.shelf(thread_id).add(rows)
        row.update(head=newest_root(rows) or row.thread.head)

    async def delete_checkpoints(
        self, *, thread_id: str | None = None, run_ids: Sequence[str] = ()
    ) -> None:
        for name, shelf in self.tables.shelves.items():
            if name == thread_id:
                shelf.keep(())
            elif run_ids:
                shelf.keep(_made_by_others(shelf, run_ids))
            self._repair_head(name)

    async def copy_checkpoints(self, source: str, target: str) -> None:
        row = self._made(target)
        if source in self.tables.threads and self.tables.shelf(target).checkpoints:
            raise Conflict(f"thread {target} has checkpoints already: copy to one without")
        self.tables.shelf(target).add(self.tables.shelf(source).rows())
        row.update(head=self._newest(source, ROOT) or row.thread.head)

    async def thin(
        self,
        keeps: Mapping[str, str],
        *,
        limit: int,
        recent: float = 0.0,
        now: datetime | None = None,
    ) -> Thinned:
        since = (now or self.clock()) - timedelta(seconds=recent)
        dropped, rest, threads = 0, set(), set()
        for thread_id, keep in keeps.items():
            row = self.tables.threads.get(thread_id)
            if row is None or row.thread.active_run_id or row.leased(self.clock()):
                continue
            runs = [run for run in self.tables.runs.values() if run.thread_id == thread_id]
            ends = [run.head for run in runs if run.ended_at and run.ended_at > since]
            named = [*(run.kwargs.get("checkpoint_id") for run in runs), *ends]
            shelf = self.tables.shelf(thread_id)
            spare = excess(shelf, keep, row.thread.head, named)
            doomed = spare[: limit - dropped]
            shelf.keep(shelf.checkpoints.keys() - doomed)
            threads.add(thread_id)
            dropped += len(doomed)
            row.fence += 1
            if len(doomed) < len(spare):
                rest.add(thread_id)
            elif keep == LATEST or not ends:
                row.thinned = row.stamp(keep)
        return Thinned(frozenset(threads), dropped, frozenset(rest))

    def _newest(self, thread_id: str, ns: str) -> str | None:
        row = self.tables.threads.get(thread_id)
        head = row.thread.head if row and ns == ROOT else None
        return head or self.tables.shelf(thread_id).newest(ns)

    def _repair_head(self, thread_id: str) -> None:
        row = self.tables.threads.get(thread_id)
        shelf = self.tables.shelf(thread_id)
        if row and (ROOT, row.thread.head) not in shelf.checkpoints:
            row.update(head=shelf.newest(ROOT))


def _older(shelf: Shelf, ns: str | None, before: str | None) -> Iterator[tuple[int, CheckpointRow]]:
    """Checkpoints of the namespace written before the one named, newest first."""
    bounds = [at for at, row in shelf.newest_first() if row.checkpoint_id == before]
    return (
        (at, row)
        for at, row in shelf.newest_first()
        if ns in (None, row.ns) and (before is None or any(at < bound for bound in bounds))
    )


def _made_by_others(shelf: Shelf, run_ids: Sequence[str]) -> set[Place]:
    return {
        place
        for place, (_, row) in shelf.checkpoints.items()
        if row.metadata.get("run_id") not in run_ids
    }
