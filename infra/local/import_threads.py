"""Threads copied from LangGraph's PostgresSaver into Baton, each read from both sides after.

A copy that was killed goes on: what is there is not stored again, and nobody sees a thread before
all of it is there and was found equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from langgraph.checkpoint.base import CheckpointTuple
from psycopg.errors import UniqueViolation

from graph.adapters.postgres import PostgresStore
from graph.adapters.postgres.imports import IMPORTED, IMPORTING, Imports
from graph.errors import AgentError
from graph.runtime.assistants import NAMESPACE
from graph.runtime.checkpoints import Checkpoints, config_of
from graph.runtime.codec import BRANCH, SENDS, Codec, Known
from graph.runtime.models import (
    BlobRow,
    CheckpointRow,
    ItemRow,
    Json,
    Rows,
    Thread,
    ThreadStatus,
    WriteRow,
)
from graph.runtime.rendering import interrupts_json
from graph.runtime.step_rows import ERROR, INTERRUPT
from infra.local.stock import Place, Source, Type, refused_types

BATCH_BYTES = 1_000_000
LONGEST_MEMORY = 256  # checkpoints that are remembered, to store lists by what was added


class NotCopied(AgentError):
    """A thread stays where it is; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one thread."""

    thread_id: str  # at the source
    target_id: str
    outcome: str  # copied | there already | would be copied | failed
    checkpoints: int = 0
    writes: int = 0
    said: str = ""


@dataclass(slots=True)
class _Batch:
    """Rows that are stored at once."""

    checkpoints: list[CheckpointRow] = field(default_factory=list)
    blobs: list[BlobRow] = field(default_factory=list)
    items: list[ItemRow] = field(default_factory=list)
    writes: list[WriteRow] = field(default_factory=list)

    @property
    def size(self) -> int:
        sizes = [len(row.body) for row in self.checkpoints]
        sizes += [len(row.data) for rows in (self.blobs, self.items, self.writes) for row in rows]
        return sum(sizes)

    def taken(self) -> Rows:
        rows = Rows(
            tuple(self.checkpoints), tuple(self.blobs), tuple(self.writes), tuple(self.items)
        )
        self.checkpoints, self.blobs, self.items, self.writes = [], [], [], []
        return rows


@dataclass(frozen=True, slots=True)
class Importer:
    """Copies threads to an owner, as threads of one graph."""

    source: Source
    store: PostgresStore
    codec: Codec
    owner: str
    graph_id: str
    batch: int = 50  # checkpoints that are stored at once, at most
    say: Callable[[int], None] = lambda _: None  # after each batch

    async def copy(self, thread_id: str) -> Copied:
        """Copy one thread and compare; raises Unavailable."""
        target = target_id(thread_id)
        try:
            return await self._copied(thread_id, target)
        except NotCopied as error:
            return Copied(thread_id, target, "failed", said=str(error))

    async def look(self, thread_id: str) -> Copied:
        """What `copy` would do, as far as the source tells."""
        places = await self.source.places(thread_id)
        writes = 0
        with refused_types() as refused:
            for place in places:
                await self._read(thread_id, place)
                writes += len(await self.source.writes(thread_id, place))
        outcome = "failed" if refused else "would be copied"
        said = _how_to_allow(refused) if refused else ""
        return Copied(thread_id, target_id(thread_id), outcome, len(places), writes, said)

    async def _copied(self, thread_id: str, target: str) -> Copied:
        imports = Imports(self.store.db)
        metadata = await imports.begin(target)
        places = await self.source.places(thread_id)
        if IMPORTED in metadata:
            return Copied(thread_id, target, "there already", len(places))
        if IMPORTING not in metadata:
            raise NotCopied(f"Baton has a thread {target} of its own: delete it, or leave this one")
        with refused_types() as refused:
            await self._store(thread_id, target, places, await imports.has(target), refused)
        writes = 0
        for place in places:
            writes += await self._compare(thread_id, target, place)
        if not await imports.end(await self._thread(thread_id, target, places)):
            return Copied(thread_id, target, "there already", len(places))
        return Copied(thread_id, target, "copied", len(places), writes)

    async def _store(
        self,
        thread_id: str,
        target: str,
        places: Sequence[Place],
        stored: Any,
        refused: set[Type],
    ) -> None:
        known, batch = Known(), _Batch()
        for place in places:
            if (place.ns, place.checkpoint_id) in stored:
                continue
            found = await self._read(thread_id, place)
            if refused:
                raise NotCopied(_how_to_allow(refused))
            parent = _parent(found)
            if parent and (place.ns, parent) not in known.forms:
                await self._put(target, batch)
                if before := await self.store.load(target, place.ns, parent):
                    self.codec.forms(before, known)
            self._add(batch, found, known)
            batch.writes += await self.source.writes(thread_id, place)
            if len(batch.checkpoints) >= self.batch or batch.size > BATCH_BYTES:
                await self._put(target, batch)
            if len(known.forms) > LONGEST_MEMORY:
                del known.forms[next(iter(known.forms))]
        await self._put(target, batch)

    def _add(self, batch: _Batch, found: CheckpointTuple, known: Known) -> None:
        added = self.codec.encode(
            found.config["configurable"]["checkpoint_ns"],
            found.checkpoint,
            found.metadata,
            _parent(found),
            new_versions={},
            known=known,
        )
        batch.checkpoints.append(added.row)
        batch.blobs += added.blobs
        batch.items += added.items

    async def _put(self, target: str, batch: _Batch) -> None:
        if batch.checkpoints:
            stored = len(batch.checkpoints)
            try:
                await self.store.put(target, batch.taken())
            except UniqueViolation as error:
                raise NotCopied("another import stores it: run this one again after it") from error
            self.say(stored)

    async def _read(self, thread_id: str, place: Place) -> CheckpointTuple:
        try:
            return await self.source.read(thread_id, place)
        except (NotImplementedError, ValueError, TypeError) as error:  # LangGraph's serializer's
            raise NotCopied(
                f"checkpoint {place.checkpoint_id} cannot be read: {error}; pickled and encrypted "
                "values are not imported: write them anew with the plain serializer first"
            ) from error

    async def _compare(self, thread_id: str, target: str, place: Place) -> int:
        """Raises NotCopied unless both sides read the same; how many writes they are."""
        there = await self._read(thread_id, place)
        saver = Checkpoints(self.store, serde=self.codec.serde)
        here = await saver.aget_tuple(config_of(target, place.ns, place.checkpoint_id))
        wrong = "it is missing" if here is None else self._difference(there, here)
        if wrong:
            raise NotCopied(
                f"checkpoint {place.checkpoint_id} in namespace {place.ns!r} reads differently "
                f"from both sides: {wrong}; nobody sees the copy, and the original is as it was"
            )
        return len(there.pending_writes or ())

    def _difference(self, there: CheckpointTuple, here: CheckpointTuple) -> str:
        """The first thing that differs, nothing if none does."""
        held, holds = there.checkpoint["channel_values"], here.checkpoint["channel_values"]
        for channel in held.keys() | holds.keys():
            if channel not in held or channel not in holds:
                return f"channel {channel!r} is on one side only"
            if not self._same(held[channel], holds[channel]):
                return f"the value of channel {channel!r}"
        for part in there.checkpoint.keys() | here.checkpoint.keys():
            if part != "channel_values" and there.checkpoint.get(part) != here.checkpoint.get(part):
                return str(part)
        if (_parent(there), there.metadata) != (_parent(here), here.metadata):
            return "parent or metadata"
        writes = [list(of.pending_writes or ()) for of in (there, here)]
        return "" if self._same(*writes) else "pending writes"

    def _same(self, one: Any, other: Any) -> bool:
        return self.codec.pack(one) == self.codec.pack(other) or bool(one == other)

    async def _thread(self, thread_id: str, target: str, places: Sequence[Place]) -> Thread:
        """The thread as clients are to find it."""
        root = [place for place in places if not place.ns]
        if not root:
            raise NotCopied("it has no checkpoint of a root graph")
        head = await self._read(thread_id, root[-1])
        first = await self._read(thread_id, root[0])
        asked: dict[str, list[Any]] = {}
        for task_id, channel, value in head.pending_writes or ():
            if channel == INTERRUPT:
                asked[task_id] = list(value)
        metadata: Json = {
            "graph_id": self.graph_id,
            "assistant_id": str(uuid5(NAMESPACE, self.graph_id)),
            IMPORTED: {"thread_id": thread_id, "at": datetime.now(UTC).isoformat()},
        }
        return Thread(
            target,
            self.owner,
            _status(head, asked),
            created_at=datetime.fromisoformat(first.checkpoint["ts"]),
            updated_at=datetime.fromisoformat(head.checkpoint["ts"]),
            metadata=metadata,
            interrupts=interrupts_json(asked),
            head=head.checkpoint["id"],
        )


def target_id(thread_id: str) -> str:
    """The thread's id in Baton: a UUID stays; another is turned into one, always the same."""
    try:
        return str(UUID(thread_id))
    except ValueError:
        return str(uuid5(NAMESPACE, thread_id))


def _status(head: CheckpointTuple, asked: Mapping[str, Any]) -> ThreadStatus:
    """How the thread rests: with a question, with an error, in front of a node, or done."""
    values = head.checkpoint["channel_values"]
    if not asked and any(channel == ERROR for _, channel, _ in head.pending_writes or ()):
        return ThreadStatus.ERROR
    pending = any(channel.startswith(BRANCH) for channel in values) or values.get(SENDS)
    return ThreadStatus.INTERRUPTED if asked or pending else ThreadStatus.IDLE


def _parent(found: CheckpointTuple) -> str | None:
    parent = found.parent_config
    return None if parent is None else str(parent["configurable"]["checkpoint_id"])


def _how_to_allow(refused: set[Type]) -> str:
    names = ", ".join(f"{module}.{name}" for module, name in sorted(refused))
    listed = ", ".join(f'["{module}", "{name}"]' for module, name in sorted(refused))
    return (
        f"it holds types that are not allowed: {names}; name them in langgraph.json, "
        f'{{"checkpointer": {{"serde": {{"allowed_msgpack_modules": [{listed}]}}}}}}, or give '
        "--graph the graph whose state they are of"
    )
