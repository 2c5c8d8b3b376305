"""The checkpointer of one step: reads what the claim loaded, keeps what the step saves.

Nothing is written before the step is over (LangGraph orders neither puts nor writes), except what
finished siblings did while others still run.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from graph.effects import SEQ, Place
from graph.effects import task_path as path_of
from graph.runtime.checkpoints import Checkpoints, address, config_of
from graph.runtime.codec import Decoded, Known
from graph.runtime.models import (
    NO_ROWS,
    CheckpointRow,
    Claim,
    ItemRow,
    Json,
    Rows,
    Stored,
    WriteRow,
)
from graph.runtime.ports import CheckpointStore
from graph.runtime.versions import VERSION, version_of

ERROR, INTERRUPT, RESUME = "__error__", "__interrupt__", "__resume__"
RESUMING, PARENTS = "__pregel_resuming", "checkpoint_map"  # in the config of nested graphs
NULL_TASK = "00000000-0000-0000-0000-000000000000"
DELTA = "counters_since_delta_snapshot"  # in the metadata of a checkpoint that needs its writes


@dataclass(slots=True)
class _Step:
    """The step that is being taken."""

    claim: Claim
    over: str | None = None  # the checkpoint that ends it: what is written on that is the next's


class StepSaver(Checkpoints):
    """Buffers a step's checkpoints and writes as rows; then those of the run's next step.

    LangGraph may work on a shallow copy of it (`with_allowlist`), so what changes is in containers,
    which are shared and never replaced.
    """

    def __init__(
        self,
        store: CheckpointStore,
        claim: Claim,
        *,
        serde: SerializerProtocol | None = None,
        known: Known | None = None,
        carried: Rows = NO_ROWS,
        marks: Json | None = None,
    ) -> None:
        super().__init__(store, serde=serde)
        self.place = Place(claim.seq)
        self._step = _Step(claim)
        self._marks = marks or {}  # for the metadata of a run's checkpoints
        self._ended: list[BaseException | None] = []  # the root graph's supersteps, or why not
        self.meet_nested: Callable[[str, Stored], None] = _welcome
        self._loop = asyncio.get_running_loop()
        self.known = Known() if known is None else known
        self._checkpoints: dict[tuple[str, str], CheckpointRow] = {}
        self._blobs = {blob.blob_id: blob for blob in carried.blobs}
        self._carried = list(carried.items)  # to be stored with the first root checkpoint
        self._versions: dict[str, str | None] = {}  # of the graph, by checkpoints seen
        self._items: dict[str, list[ItemRow]] = {}  # by the checkpoint that added them
        self._writes: dict[tuple[str, str, str, int], WriteRow] = {}
        self._kept: set[Any] = set()  # rows that are in the store already

    @property
    def claim(self) -> Claim:
        """The claim on the step."""
        return self._step.claim

    async def settle(self, supersteps: int) -> None:
        """Wait for the checkpoint after so many of the root graph's supersteps.

        LangGraph hands it over in the background. Raises what kept it from coming.
        """
        while len(self._ended) < supersteps:
            await asyncio.sleep(0)
        if failure := self._ended[-1]:
            raise failure
        self._step.over = self.head.checkpoint_id if self.head else None

    def begin(self, claim: Claim) -> None:
        """Go on with the run's next step; what the last one left is stored."""
        ahead = {key: w for key, w in self._writes.items() if w.checkpoint_id == claim.head}
        self.place.seq, self._step.claim, self._step.over = claim.seq, claim, None
        self.place.paths.clear()
        for buffer in (self._checkpoints, self._blobs, self._versions, self._items, self._kept):
            buffer.clear()
        self._writes.clear()
        self._writes.update(ahead)
        assert claim.stored is not None, "a next step starts from a checkpoint"
        self._versions[claim.stored.row.checkpoint_id] = version_of(claim.stored.row.metadata)
        start = ("", claim.stored.row.checkpoint_id)
        forms = self.known.forms[start]
        self.known.forms.clear()
        self.known.forms[start] = forms

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, ns, checkpoint_id = address(config)
        if ns:
            nested = "|" in ns
            self.place.paths.setdefault(ns, path_of(config.get("metadata") or {}, nested=nested))
        stored = self._own(ns, checkpoint_id)
        if stored is None and (stored := await self._read(ns, checkpoint_id)) and ns:
            if self._is_of_another_step(stored, config):
                config["configurable"].pop(RESUMING, None)  # as LangGraph does between supersteps
            self.meet_nested(ns, stored)
        if stored is None:
            return None
        self._versions[stored.row.checkpoint_id] = version_of(stored.row.metadata)
        return self._tuple(thread_id, stored.row, self._decode(stored))

    def _decode(self, stored: Stored) -> Decoded:
        return self.codec.decode(stored, self.known)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        of_root = not address(config)[1]
        try:
            made = self.put(config, checkpoint, metadata, new_versions)
        except Exception as error:
            if of_root:
                self._ended.append(error)
            raise
        if of_root and metadata.get("source") == "loop":
            self._ended.append(None)
        return made

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """For a graph that a synchronous node runs in a thread of its own."""
        return asyncio.run_coroutine_threadsafe(self.aget_tuple(config), self._loop).result()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, ns, parent_id = address(config)
        told = dict(get_serializable_checkpoint_metadata(config, metadata))
        if VERSION not in told and (version := self._versions.get(parent_id or "")):
            told[VERSION] = version  # an edit's state is of the version it is based on
        if self.claim.run:
            told |= {**self._marks, SEQ: self.claim.seq, "fence": self.claim.fence}
        added = self.codec.encode(
            ns,
            checkpoint,
            told,
            parent_id,
            new_versions=new_versions,
            known=self.known,
        )
        checkpoint_id = added.row.checkpoint_id
        self._checkpoints[ns, checkpoint_id] = added.row
        self._blobs.update((blob.blob_id, blob) for blob in added.blobs)
        self._items[checkpoint_id] = added.items
        if not ns:
            self._items[checkpoint_id] = [*self._carried, *added.items]
            self._carried.clear()
        return config_of(thread_id, ns, checkpoint_id)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        _, ns, checkpoint_id = address(config)
        assert checkpoint_id is not None, "LangGraph names the checkpoint its writes belong to"
        for row in self.codec.encode_writes(ns, checkpoint_id, writes, task_id, task_path):
            self._writes[ns, checkpoint_id, task_id, row.idx] = row

    # What the engine takes out of it.

    @property
    def head(self) -> CheckpointRow | None:
        """The newest root checkpoint this step made."""
        return self._newest("")

    @property
    def interrupts(self) -> dict[str, list[Any]]:
        """What the root graph's tasks asked in this step: task id -> LangGraph's Interrupts."""
        return {
            row.task_id: list(self.codec.unpack(row))
            for row in self._written()
            if row.channel == INTERRUPT and row.ns == ""
        }

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

    def step_rows(self, *, failed: bool = False) -> Rows:
        """All a step leaves behind that is not in the store yet; errors only if it failed.

        An answer that a task has taken is that task's, nobody else's.
        """
        writes = [w for w in self._open_writes() if failed or w.channel != ERROR]
        taken = any(w.channel == RESUME and w.task_id != NULL_TASK for w in self._writes.values())
        if taken:
            writes = [w for w in writes if w.channel != RESUME or w.task_id != NULL_TASK]
        return self._take(writes)

    def finished_rows(self) -> Rows:
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
        return (w for w in self._writes.values() if w.checkpoint_id != self._step.over)

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

    def _newest(self, ns: str) -> CheckpointRow | None:
        mine = [row for row in self._checkpoints.values() if row.ns == ns]
        return mine[-1] if mine else None

    def _own(self, ns: str, checkpoint_id: str | None) -> Stored | None:
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

    def _stored(self, row: CheckpointRow) -> Stored:
        key = (row.ns, row.checkpoint_id)
        writes = tuple(w for w in self._writes.values() if (w.ns, w.checkpoint_id) == key)
        return Stored(row, writes=writes)

    def _is_of_another_step(self, stored: Stored, config: RunnableConfig) -> bool:
        """Whether a nested graph, with a checkpointer of its own, is to run again, not go on.

        LangGraph takes every invocation for a resumption. An edit leaves what it was based on.
        """
        root = self.claim.stored
        edited = root is None or root.row.metadata.get("source") not in ("input", "loop")
        parents = stored.row.metadata.get("parents")
        return not edited and parents != config["configurable"].get(PARENTS)

    async def _read(self, ns: str, checkpoint_id: str | None) -> Stored | None:
        if self.claim.head is None:  # a thread without checkpoints has none anywhere
            return None
        return await self.store.load(self.claim.thread_id, ns, checkpoint_id)


def is_outcome(write: WriteRow) -> bool:
    """Whether it is of a task that has finished, or asks."""
    return write.channel not in (RESUME, ERROR)


def _welcome(ns: str, stored: Stored) -> None:
    """What a nested graph's checkpoint is met with where nobody asks what it waits for."""
