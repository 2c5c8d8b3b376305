"""One thread's checkpoints, blobs and pending writes."""

from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from graph.runtime.models import BlobRow, CheckpointRow, Rows, Stored, WriteRow

ROOT = ""
Place = tuple[str, str]  # namespace, checkpoint id


@dataclass(slots=True)
class Shelf:
    """Rows in the order they were written, across all threads."""

    next_written: Callable[[], int]
    checkpoints: dict[Place, tuple[int, CheckpointRow]] = field(default_factory=dict)
    blobs: dict[bytes, BlobRow] = field(default_factory=dict)
    writes: dict[tuple[str, str, str, int], WriteRow] = field(default_factory=dict)

    def add(self, rows: Rows) -> None:
        """Store what is new; of what is there, only special writes (negative idx) change."""
        for row in rows.checkpoints:
            place = (row.ns, row.checkpoint_id)
            if place not in self.checkpoints:
                self.checkpoints[place] = (self.next_written(), deepcopy(row))
        for blob in rows.blobs:
            self.blobs.setdefault(blob.blob_id, blob)
        for write in rows.writes:
            key = (write.ns, write.checkpoint_id, write.task_id, write.idx)
            if write.idx < 0 or key not in self.writes:
                self.writes[key] = write

    def stored(self, place: Place) -> Stored | None:
        if place not in self.checkpoints:
            return None
        _, row = self.checkpoints[place]
        writes = [w for w in self.writes.values() if (w.ns, w.checkpoint_id) == place]
        writes.sort(key=lambda w: (w.task_path, w.task_id, w.idx))
        blobs = {b: self.blobs[b] for b in row.blob_ids if b in self.blobs}
        return Stored(deepcopy(row), blobs, tuple(writes))

    def newest(self, ns: str) -> str | None:
        """The id of the checkpoint written last in the namespace."""
        return next((id_ for space, id_ in reversed(self.checkpoints) if space == ns), None)

    def namespaces(self) -> set[str]:
        return {ns for ns, _ in self.checkpoints}

    def newest_first(self) -> Iterator[tuple[int, CheckpointRow]]:
        return reversed(self.checkpoints.values())

    def keep(self, places: Collection[Place]) -> None:
        """Drop all other checkpoints, their writes, and the blobs nothing refers to."""
        self.checkpoints = {p: row for p, row in self.checkpoints.items() if p in places}
        self.writes = {k: write for k, write in self.writes.items() if k[:2] in self.checkpoints}
        used = {blob_id for _, row in self.checkpoints.values() for blob_id in row.blob_ids}
        self.blobs = {b: blob for b, blob in self.blobs.items() if b in used}


def newest_root(rows: Rows) -> str | None:
    """The newest root checkpoint among rows to be stored."""
    return next((c.checkpoint_id for c in reversed(rows.checkpoints) if c.ns == ROOT), None)
