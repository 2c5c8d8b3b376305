"""What a step leaves behind, until it is stored."""

from collections.abc import Iterator, Sequence
from typing import Any

from graph.runtime.codec import Added
from graph.runtime.models import NO_ROWS, CheckpointRow, Claim, ItemRow, Rows, Stored, WriteRow

ERROR, INTERRUPT, RESUME = "__error__", "__interrupt__", "__resume__"
NULL_TASK = "00000000-0000-0000-0000-000000000000"
DELTA = "counters_since_delta_snapshot"  # in the metadata of a checkpoint that needs its writes


class StepRows:
    """The checkpoints and writes of the step that is being taken, then of the run's next one.

    Nothing is stored before the step is over (LangGraph orders neither puts nor writes), except
    what finished siblings did while others still run.
    """

    def __init__(self, claim: Claim, carried: Rows = NO_ROWS) -> None:
        self.claim = claim
        self._checkpoints: dict[tuple[str, str], CheckpointRow] = {}
        self._blobs = {blob.blob_id: blob for blob in carried.blobs}
        self._carried = list(carried.items)  # to be stored with the first root checkpoint
        self._items: dict[str, list[ItemRow]] = {}  # by the checkpoint that added them
        self._writes: dict[tuple[str, str, str, int], WriteRow] = {}
        self._kept: set[Any] = set()  # rows that are in the store already
        self._over: str | None = None  # the checkpoint that ended the step

    def begin(self, claim: Claim) -> None:
        """Go on with the run's next step; what the last one left is stored."""
        ahead = [w for w in self._writes.values() if w.checkpoint_id == claim.head]
        for rows in (self._checkpoints, self._blobs, self._items, self._writes, self._kept):
            rows.clear()
        self.claim, self._over = claim, None
        self.write(ahead)

    def end(self) -> None:
        """What is written on the newest checkpoint from now on is the next step's."""
        self._over = self.head.checkpoint_id if self.head else None

    def add(self, added: Added) -> None:
        """Take in a checkpoint, and what it adds to the store."""
        row, items = added.row, added.items
        if not row.ns:
            items = [*self._carried, *items]
            self._carried.clear()
        self._checkpoints[row.ns, row.checkpoint_id] = row
        self._blobs.update((blob.blob_id, blob) for blob in added.blobs)
        self._items[row.checkpoint_id] = items

    def write(self, writes: Sequence[WriteRow]) -> None:
        """Take in writes; those that a task writes again replace its first."""
        self._writes.update(((w.ns, w.checkpoint_id, w.task_id, w.idx), w) for w in writes)

    def find(self, ns: str, checkpoint_id: str | None) -> Stored | None:
        """A checkpoint this step made or started from."""
        newest = self._newest(ns)
        loaded = self.claim.stored
        if checkpoint_id is None:
            if newest is not None:
                return self._stored(newest)
            checkpoint_id = self.claim.head if ns == "" else None
        if (row := self._checkpoints.get((ns, checkpoint_id or ""))) is not None:
            return self._stored(row)
        if loaded and (loaded.row.ns, loaded.row.checkpoint_id) == (ns, checkpoint_id):
            return loaded
        return None

    @property
    def head(self) -> CheckpointRow | None:
        """The newest root checkpoint this step made."""
        return self._newest("")

    @property
    def questions(self) -> list[WriteRow]:
        """What the root graph's tasks asked in this step."""
        return [w for w in self._written() if w.channel == INTERRUPT and w.ns == ""]

    @property
    def root_writes(self) -> list[WriteRow]:
        """What the root graph's tasks wrote in this step."""
        return [w for w in self._written() if not w.ns and w.task_id != NULL_TASK]

    @property
    def ran_from(self) -> str | None:
        """The checkpoint that the step's tasks started from."""
        if written := self.root_writes:
            return written[-1].checkpoint_id
        started = self.claim.stored.row if self.claim.stored else None
        row = self.head or started  # without a task's word, no checkpoint but an input's was made
        return row.checkpoint_id if row else None

    def has_answered(self, task_id: str, node: str | None) -> bool:
        """Whether a task of the root graph, or a graph nested in it, took an answer.

        A nested graph with a checkpointer of its own has its node's name for a namespace.
        """
        taken = (w for w in self._writes.values() if w.channel == RESUME)
        return any(
            task_id == w.task_id or task_id in w.ns or w.ns.partition("|")[0] == node for w in taken
        )

    @property
    def progressed(self) -> bool:
        """Whether a task has finished, or a nested graph has taken a step."""
        steps = (row for row in self._checkpoints.values() if row.ns)
        return any(row.metadata.get("source") == "loop" for row in steps) or any(
            is_outcome(w) and w.task_id != NULL_TASK for w in self._open_writes()
        )

    def all(self, *, failed: bool = False) -> Rows:
        """All a step leaves behind that is not in the store yet; errors only if it failed.

        An answer that a task has taken is that task's, nobody else's.
        """
        writes = [w for w in self._open_writes() if failed or w.channel != ERROR]
        taken = any(w.channel == RESUME and w.task_id != NULL_TASK for w in self._writes.values())
        if taken:
            writes = [w for w in writes if w.channel != RESUME or w.task_id != NULL_TASK]
        return self._take(writes)

    def finished(self) -> Rows:
        """What finished tasks did, while their siblings run on.

        Not the command's own writes: it is given again if the step has to be, and would then
        answer twice.
        """
        by_task: dict[str, list[WriteRow]] = {}
        for w in self._open_writes():
            if w.ns == "" and w.task_id != NULL_TASK:
                by_task.setdefault(w.task_id, []).append(w)
        finished = [ws for ws in by_task.values() if any(is_outcome(w) for w in ws)]
        return self._take([w for ws in finished for w in ws], root_only=True)

    def has_writes_of(self, task_ids: set[str]) -> bool:
        return task_ids <= {w.task_id for w in self._writes.values()}

    def _open_writes(self) -> list[WriteRow]:
        """The writes of supersteps that are not over.

        Those of one that is are in the checkpoint after it; a DeltaChannel reads them all the same.
        """
        over = {
            (row.ns, row.parent_id)
            for row in self._checkpoints.values()
            if DELTA not in row.metadata
        }
        return [w for w in self._written() if (w.ns, w.checkpoint_id) not in over]

    def _written(self) -> Iterator[WriteRow]:
        return (w for w in self._writes.values() if w.checkpoint_id != self._over)

    def _take(self, writes: Sequence[WriteRow], *, root_only: bool = False) -> Rows:
        """Rows to store now; each is handed out once."""
        checkpoints = [
            row
            for row in self._checkpoints.values()
            if not (root_only and row.ns) and row.checkpoint_id not in self._kept
        ]
        needed = {blob_id for row in checkpoints for blob_id in row.blob_ids}
        blobs = [b for b in self._blobs.values() if b.blob_id in needed - self._kept]
        items = [item for row in checkpoints for item in self._items[row.checkpoint_id]]
        fresh = [w for w in writes if w not in self._kept]
        self._kept.update(row.checkpoint_id for row in checkpoints)
        self._kept.update(blob.blob_id for blob in blobs)
        self._kept.update(fresh)
        return Rows(tuple(checkpoints), tuple(blobs), tuple(fresh), tuple(items))

    def _stored(self, row: CheckpointRow) -> Stored:
        key = (row.ns, row.checkpoint_id)
        writes = tuple(w for w in self._writes.values() if (w.ns, w.checkpoint_id) == key)
        return Stored(row, writes=writes)

    def _newest(self, ns: str) -> CheckpointRow | None:
        mine = [row for row in self._checkpoints.values() if row.ns == ns]
        return mine[-1] if mine else None


def is_outcome(write: WriteRow) -> bool:
    """Whether it is of a task that has finished, or asks."""
    return write.channel not in (RESUME, ERROR)
