"""LangGraph's checkpointer over a CheckpointStore."""

from collections.abc import AsyncIterator, Collection, Sequence
from copy import copy
from functools import cache, lru_cache
from typing import Any, Literal, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde._msgpack import STRICT_MSGPACK_ENABLED
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from graph.runtime.codec import Codec, Decoded, Known
from graph.runtime.models import CheckpointRow, Rows, Stored
from graph.runtime.ports import CheckpointStore
from graph.runtime.retention import keep_latest


@cache
def strict_serializer(allowed: tuple[tuple[str, str], ...] = ()) -> JsonPlusSerializer:
    """A serializer that builds only known types: plain data, messages, and those `allowed`.

    A graph's own state types come on top where LANGGRAPH_STRICT_MSGPACK is set, as functions do.
    """
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=list(allowed) or None)


@lru_cache(maxsize=256)
def _widened(serde: SerializerProtocol, types: frozenset[tuple[str, ...]]) -> SerializerProtocol:
    """The serializer that builds these types, too: made once for a graph, not for each step."""
    saver: BaseCheckpointSaver[int] = BaseCheckpointSaver(serde=serde)
    return saver.with_allowlist(types).serde


def codec_for(graph: Any, serde: SerializerProtocol) -> Codec:
    """A codec that builds the types that the graph's state may hold, where functions do."""
    types = getattr(graph, "_serde_allowlist", None)
    if not STRICT_MSGPACK_ENABLED or types is None:
        return Codec(serde)
    hashed: Any = serde  # by identity
    return Codec(_widened(hashed, frozenset(types)))


def config_of(thread_id: str, ns: str, checkpoint_id: str | None) -> RunnableConfig:
    """The config that addresses a checkpoint, or the newest one of a namespace."""
    conf: dict[str, Any] = {"thread_id": thread_id, "checkpoint_ns": ns}
    if checkpoint_id is not None:
        conf["checkpoint_id"] = checkpoint_id
    return {"configurable": conf}


def address(config: RunnableConfig) -> tuple[str, str, str | None]:
    """(thread_id, namespace, checkpoint id) that a config names."""
    conf = config["configurable"]
    return str(conf["thread_id"]), conf.get("checkpoint_ns", ""), conf.get("checkpoint_id") or None


def bound(graph: Any, saver: BaseCheckpointSaver[Any]) -> Any:
    """The graph with a checkpointer of its own; the project's graph is not touched.

    Not `graph.copy`, which forgets the types that the graph's state may hold.
    """
    twin = copy(graph)
    twin.checkpointer = saver
    return twin


class Checkpoints(BaseCheckpointSaver[int]):
    """Reads and writes a thread's checkpoints with no claim on it.

    For reading, for tools, and for whoever uses the store as a plain LangGraph checkpointer.
    Async only; a run's own saver is `StepSaver`.
    """

    def __init__(self, store: CheckpointStore, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde or strict_serializer())
        self.store = store

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """A shallow clone that builds these types, too."""
        clone = copy(self)
        serde: Any = self.serde  # hashed by identity
        clone.serde = _widened(serde, frozenset(extra_allowlist))
        return clone

    @property
    def codec(self) -> Codec:
        return Codec(self.serde)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, ns, checkpoint_id = address(config)
        stored = await self.store.load(thread_id, ns, checkpoint_id)
        return None if stored is None else self._tuple(thread_id, stored.row, self._decode(stored))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        thread_id = ns = checkpoint_id = None
        if config is not None:
            thread_id, _, checkpoint_id = address(config)
            ns = config["configurable"].get("checkpoint_ns")
        found = await self.store.history(
            thread_id,
            ns,
            before=None if before is None else address(before)[2],
            metadata=filter,
            limit=None if checkpoint_id else limit,
        )
        for of_thread, stored in found:
            if checkpoint_id in (None, stored.row.checkpoint_id):
                yield self._tuple(of_thread, stored.row, self._decode(stored))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, ns, parent_id = address(config)
        added = self.codec.encode(
            ns,
            checkpoint,
            get_serializable_checkpoint_metadata(config, metadata),
            parent_id,
            new_versions=new_versions,
            known=Known(),
        )
        rows = Rows((added.row,), tuple(added.blobs), items=tuple(added.items))
        await self.store.put(thread_id, rows)
        return config_of(thread_id, ns, checkpoint["id"])

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        thread_id, ns, checkpoint_id = address(config)
        if checkpoint_id is None:
            raise ValueError("put_writes needs the checkpoint_id the writes belong to")
        rows = self.codec.encode_writes(ns, checkpoint_id, writes, task_id, task_path)
        await self.store.put(thread_id, Rows(writes=tuple(rows)))

    async def adelete_thread(self, thread_id: str) -> None:
        await self.store.delete_checkpoints(thread_id=thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self.store.delete_checkpoints(run_ids=run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self.store.copy_checkpoints(source_thread_id, target_thread_id)

    async def aprune(
        self,
        thread_ids: Sequence[str],
        *,
        strategy: Literal["keep_latest", "delete"] | str = "keep_latest",
    ) -> None:
        if strategy == "keep_latest":
            await keep_latest(self.store, thread_ids)
        elif strategy == "delete":
            for thread_id in thread_ids:
                await self.store.delete_checkpoints(thread_id=thread_id)
        else:
            raise ValueError(f"unknown strategy {strategy!r}: use keep_latest or delete")

    def _decode(self, stored: Stored) -> Decoded:
        return self.codec.decode(stored)

    def _tuple(self, thread_id: str, row: CheckpointRow, decoded: Decoded) -> CheckpointTuple:
        return CheckpointTuple(
            config=config_of(thread_id, row.ns, row.checkpoint_id),
            checkpoint=decoded.checkpoint,
            metadata=row.metadata,  # type: ignore[arg-type]  # JSON as LangGraph wrote it
            parent_config=config_of(thread_id, row.ns, row.parent_id) if row.parent_id else None,
            pending_writes=decoded.writes,
        )
