"""One thread's checkpoints, blobs and pending writes."""

from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from graph.errors import Unavailable
from graph.runtime.models import BlobRow, CheckpointRow, ItemRow, Rows, Stored, WriteRow

ROOT = ""
Place = tuple[str, str]  # namespace, checkpoint id
WriteKey = tuple[str, str, str, int]  # a place, task id, idx


@dataclass(slots=True)
class Shelf:
    """Rows in the order they were written, across all threads."""

    next_written: Callable[[], int]
    checkpoints: dict[Place, tuple[int, CheckpointRow]] = field(default_factory=dict)
    blobs: dict[bytes, BlobRow] = field(default_factory=dict)
    items: dict[tuple[int, int], ItemRow] = field(default_factory=dict)  # by list and start
    writes: dict[WriteKey, WriteRow] = field(default_factory=dict)
    written_by: dict[WriteKey, str | None] = field(default_factory=dict)
    replaced: dict[WriteKey, WriteRow] = field(default_factory=dict)  # by another run's

    def add(self, rows: Rows, *, run_id: str | None = None) -> None:
        """Store what is new; of what is there, only special writes (negative idx) change.

        Raises Unavailable, and stores nothing, when a list went on otherwise.
        """
        for item in rows.items:
            if (item.list_id, item.start) in self.items:
                raise Unavailable(f"list {item.list_id} goes on at {item.start} already")
        self.items.update({(item.list_id, item.start): item for item in rows.items})
        for row in rows.checkpoints:
            place = (row.ns, row.checkpoint_id)
            if place not in self.checkpoints:
                self.checkpoints[place] = (self.next_written(), deepcopy(row))
        for blob in rows.blobs:
            self.blobs.setdefault(blob.blob_id, blob)
        for write in rows.writes:
            key = (write.ns, write.checkpoint_id, write.task_id, write.idx)
            if key in self.writes and write.idx < 0 and self.written_by.get(key) != run_id:
                self.replaced[key] = self.writes[key]
            if write.idx < 0 or key not in self.writes:
                self.writes[key] = write
                self.written_by[key] = run_id

    def undo(self, run_ids: Collection[str]) -> None:
        """Drop what the runs made, and put back what they replaced."""
        for key in [key for key, run_id in self.written_by.items() if run_id in run_ids]:
            del self.written_by[key], self.writes[key]
            if key in self.replaced:
                self.writes[key] = self.replaced.pop(key)
        self.keep(
            [
                place
                for place, (_, row) in self.checkpoints.items()
                if row.metadata.get("run_id") not in run_ids
            ]
        )

    def stored(self, place: Place) -> Stored | None:
        if place not in self.checkpoints:
            return None
        _, row = self.checkpoints[place]
        writes = [w for w in self.writes.values() if (w.ns, w.checkpoint_id) == place]
        writes.sort(key=lambda w: (w.task_path, w.task_id, w.idx))
        blobs = {b: self.blobs[b] for b in row.blob_ids if b in self.blobs}
        lists = {name for spans in row.lists.values() for name, _, _ in spans}
        items = tuple(item for item in self.items.values() if item.list_id in lists)
        ends = {name: max(i.stop for i in items if i.list_id == name) for name in lists}
        return Stored(deepcopy(row), blobs, tuple(writes), items, ends)

    def rows(self) -> Rows:
        """All of them, oldest first."""
        return Rows(
            checkpoints=tuple(row for _, row in self.checkpoints.values()),
            blobs=tuple(self.blobs.values()),
            writes=tuple(self.writes.values()),
            items=tuple(self.items.values()),
        )

    def written(self, place: Place) -> int:
        """When a checkpoint was written, as a number that rises; 0 for none."""
        return self.checkpoints[place][0] if place in self.checkpoints else 0

    def newest(self, ns: str) -> str | None:
        """The id of the checkpoint written last in the namespace."""
        return next((id_ for space, id_ in reversed(self.checkpoints) if space == ns), None)

    def newest_first(self) -> Iterator[tuple[int, CheckpointRow]]:
        return reversed(self.checkpoints.values())

    def keep(self, places: Collection[Place]) -> None:
        """Drop all other checkpoints, their writes, and the values nothing refers to."""
        self.checkpoints = {p: row for p, row in self.checkpoints.items() if p in places}
        self.writes = {k: write for k, write in self.writes.items() if k[:2] in self.checkpoints}
        self.written_by = {k: run_id for k, run_id in self.written_by.items() if k in self.writes}
        self.replaced = {k: write for k, write in self.replaced.items() if k in self.writes}
        used = {blob_id for _, row in self.checkpoints.values() for blob_id in row.blob_ids}
        self.blobs = {b: blob for b, blob in self.blobs.items() if b in used}
        spans = {s for _, row in self.checkpoints.values() for ss in row.lists.values() for s in ss}
        self.items = {
            place: item
            for place, item in self.items.items()
            if any(
                name == item.list_id and start < item.stop and stop > item.start
                for name, start, stop in spans
            )
        }


def newest_root(rows: Rows) -> str | None:
    """The newest root checkpoint among rows to be stored."""
    return next((c.checkpoint_id for c in reversed(rows.checkpoints) if c.ns == ROOT), None)
