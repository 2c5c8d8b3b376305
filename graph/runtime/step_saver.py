"""The checkpointer of a step: reads what the claim loaded, keeps what the step saves."""

import asyncio
from collections.abc import Callable, Sequence
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
from graph.runtime.models import NO_ROWS, Claim, Json, Rows, Stored
from graph.runtime.ports import CheckpointStore
from graph.runtime.step_rows import StepRows
from graph.runtime.versions import VERSION, version_of

RESUMING, PARENTS = "__pregel_resuming", "checkpoint_map"  # in the config of nested graphs


class StepSaver(Checkpoints):
    """Keeps a step's checkpoints and writes as rows; then those of the run's next step.

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
        self.rows = StepRows(claim, carried)
        self._marks = marks or {}  # for the metadata of a run's checkpoints
        self._ended: list[BaseException | None] = []  # the root graph's supersteps, or why not
        self.meet_nested: Callable[[str, Stored], None] = _welcome
        self._loop = asyncio.get_running_loop()
        self.known = Known() if known is None else known
        self._versions: dict[str, str | None] = {}  # of the graph, by checkpoints seen

    @property
    def claim(self) -> Claim:
        """The claim on the step."""
        return self.rows.claim

    async def settle(self, supersteps: int) -> None:
        """Wait for the checkpoint after so many of the root graph's supersteps.

        LangGraph hands it over in the background. Raises what kept it from coming.
        """
        while len(self._ended) < supersteps:
            await asyncio.sleep(0)
        if failure := self._ended[-1]:
            raise failure
        self.rows.end()

    def begin(self, claim: Claim) -> None:
        """Go on with the run's next step; what the last one left is stored."""
        self.rows.begin(claim)
        self.place.seq = claim.seq
        self.place.paths.clear()
        self._versions.clear()
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
        stored = self.rows.find(ns, checkpoint_id)
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
        except Exception as error:  # the step ends with it, whatever LangGraph makes of it
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
        self.rows.add(added)
        return config_of(thread_id, ns, added.row.checkpoint_id)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        _, ns, checkpoint_id = address(config)
        assert checkpoint_id is not None, "LangGraph names the checkpoint its writes belong to"
        self.rows.write(self.codec.encode_writes(ns, checkpoint_id, writes, task_id, task_path))

    @property
    def interrupts(self) -> dict[str, list[Any]]:
        """What the root graph's tasks asked in this step: task id -> LangGraph's Interrupts."""
        return {row.task_id: list(self.codec.unpack(row)) for row in self.rows.questions}

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


def _welcome(ns: str, stored: Stored) -> None:
    """What a nested graph's checkpoint is met with where nobody asks what it waits for."""
