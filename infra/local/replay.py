"""A step taken again from its checkpoint, in memory: nothing is written to the thread.

The nodes do run: what they do outside happens again, under the same effect key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from graph.adapters.memory import MemoryQueue, MemoryStore
from graph.adapters.postgres import PostgresStore
from graph.effects import SEQ
from graph.errors import BadInput, NotFound
from graph.recording import Call
from graph.runtime.checkpoints import codec_for, strict_serializer
from graph.runtime.codec import Codec, Known, visible_values
from graph.runtime.engine import Runtime
from graph.runtime.models import (
    Json,
    NewRun,
    Rows,
    Run,
    StepJob,
    Stored,
    Thread,
    ThreadStatus,
    WriteRow,
)
from graph.runtime.ports import Graphs, LongTerm
from graph.runtime.recorder import calls_of
from graph.runtime.rendering import interrupts_json, jsonable
from graph.runtime.step import step
from graph.runtime.step_rows import DELTA, INTERRUPT
from graph.usage import Totals
from infra.local.tape import from_record

SECONDS = 3600.0  # a person waits


@dataclass(frozen=True, slots=True)
class Result:
    """Where a step left the thread."""

    values: Any
    interrupts: Json
    next: Sequence[str]
    error: Json | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """A step as it was, and as it is when it is taken again."""

    thread_id: str
    checkpoint_id: str
    effect_keys: str  # what they begin with
    calls: tuple[Call, ...]  # as recorded
    answered: int  # from the record
    was: Result
    now: Result
    spent: Totals


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of the past: what it started from, and what came of it."""

    thread: Thread
    start: Stored
    end: Stored | None  # None: it made no checkpoint, for it asked or failed
    run: Run | None
    nested: tuple[Stored, ...]  # checkpoints of nested graphs that the step found


@dataclass(frozen=True, slots=True)
class Replayer:
    """Replays steps of one database's threads."""

    store: PostgresStore
    graphs: Graphs
    allowed_types: tuple[tuple[str, str], ...] = ()
    long_term: LongTerm | None = None

    async def replay(
        self, thread_id: str, at: str | None, *, live: bool, graph_id: str | None = None
    ) -> Replayed:
        """Take the step again that started from a checkpoint, the last one by default.

        Raises NotFound, BadInput, BadProject.
        """
        moment = await self._moment(thread_id, at)
        graph_id = graph_id or str(moment.start.row.metadata.get("graph_id") or _graph_id(moment))
        config = (moment.run.kwargs.get("config") if moment.run else None) or {}
        graph = await self.graphs.load(graph_id, config)
        codec = codec_for(graph, strict_serializer(self.allowed_types))
        calls = calls_of(moment.start, codec.serde)
        if not live and not calls:
            raise BadInput(
                "no model call of this step was recorded: replay it with --live, or record runs "
                'with {"configurable": {"record": true}} in their config'
            )
        memory = await self._copied(moment, codec)
        run = await _asked(memory, moment, graph_id, config)
        rt = Runtime(
            memory,
            MemoryQueue(),
            self.graphs,
            allowed_types=self.allowed_types,
            long_term=self.long_term,
        )
        with from_record([] if live else calls) as given:
            await step(StepJob(thread_id, _seq(moment)), rt, time_left=SECONDS)
        done = await memory.get_run(run.run_id, thread_id, moment.thread.owner)
        return Replayed(
            thread_id,
            moment.start.row.checkpoint_id,
            f"{thread_id}:{_seq(moment)}:",
            tuple(calls),
            given(),
            _result(codec, moment.end or moment.start, asked=moment.end is None),
            await _left(memory, codec, done),
            done.spent,
        )

    async def _moment(self, thread_id: str, at: str | None) -> Moment:
        params = {"thread_id": thread_id}
        found = await self.store.db.one("replay_thread", params)
        if found is None or found["head"] is None:
            raise NotFound(f"thread {thread_id} does not exist, or nothing ran on it")
        rows = await self.store.db.all("replay_checkpoints", params)
        root = {row["checkpoint_id"]: row for row in rows if not row["ns"]}
        at = at or await self._last(thread_id, found["head"], root)
        if at not in root:
            raise NotFound(f"thread {thread_id} has no checkpoint {at} of its root graph")
        end = next((r for r in reversed(list(root.values())) if r["parent_id"] == at), None)
        start = await self._load(thread_id, "", at)
        if DELTA in start.row.metadata:
            raise BadInput("a thread with a DeltaChannel cannot be replayed from one checkpoint")
        made_by = end["metadata"].get("run_id") if end else None
        nested = [
            await self._load(thread_id, row["ns"], row["checkpoint_id"])
            for row in rows
            if row["ns"] and (row["checkpoint_id"] < at or _earlier(row, made_by))
        ]
        run = None
        if made_by is not None:
            run = next(iter(await self.store.runs_by_id([made_by])), None)
        return Moment(
            await self.store.get_thread(thread_id, found["owner"]),
            start,
            await self._load(thread_id, "", end["checkpoint_id"]) if end else None,
            run,
            tuple(nested),
        )

    async def _last(self, thread_id: str, head: str, root: Mapping[str, Any]) -> str:
        """What the last step started from: the head if it got no further than asking."""
        stored = await self._load(thread_id, "", head)
        parent = root[head]["parent_id"]
        asked = any(write.channel == INTERRUPT for write in stored.writes)
        return head if asked or parent is None else str(parent)

    async def _load(self, thread_id: str, ns: str, checkpoint_id: str) -> Stored:
        stored = await self.store.load(thread_id, ns, checkpoint_id)
        if stored is None:
            raise NotFound(f"checkpoint {checkpoint_id} is gone")
        return stored

    async def _copied(self, moment: Moment, codec: Codec) -> MemoryStore:
        """A store in memory that has the thread as the step found it."""
        memory = MemoryStore()
        thread = moment.thread
        status = ThreadStatus.INTERRUPTED if _answer(moment) else ThreadStatus.IDLE
        fresh = replace(
            thread,
            status=status,
            head=moment.start.row.checkpoint_id,
            seq=_seq(moment),
            active_run_id=None,
            queued=(),
        )
        await memory.create_thread(fresh)
        for stored in (*moment.nested, moment.start):
            added = codec.encode(
                stored.row.ns,
                codec.decode(stored).checkpoint,
                stored.row.metadata,
                stored.row.parent_id,
                new_versions={},
                known=Known(),
            )
            writes = tuple(w for w in stored.writes if stored.row.ns or _is_question(moment, w))
            rows = Rows((added.row,), tuple(added.blobs), writes, tuple(added.items))
            await memory.put(thread.thread_id, rows)
        return memory


async def _asked(memory: MemoryStore, moment: Moment, graph_id: str, config: Json) -> Run:
    """The run that takes the step again."""
    kwargs: Json = {"config": _silent(config)}
    if moment.run and "context" in moment.run.kwargs:
        kwargs["context"] = moment.run.kwargs["context"]
    if command := _answer(moment):
        kwargs["command"] = command
    thread = moment.thread
    new = NewRun(str(uuid4()), thread.thread_id, thread.owner, graph_id, graph_id, kwargs)
    return (await memory.create_run(new)).run


def _silent(config: Json) -> Json:
    """The config without the wish to be recorded, or to wait for a batch."""
    said = {**(config.get("configurable") or {}), "record": False}
    return {**config, "configurable": said}


def _answer(moment: Moment) -> Json | None:
    """What the step was told, if it went on from a question; raises BadInput when that is gone."""
    if moment.end is None or not any(w.channel == INTERRUPT for w in moment.start.writes):
        return None
    if moment.run is None:
        raise BadInput("the answer that this step was given is gone with its run")
    command: Json = moment.run.kwargs.get("command") or {}
    return command if "resume" in command else None


def _is_question(moment: Moment, write: WriteRow) -> bool:
    """Whether a write is what the step was to answer; what its tasks did, they do again."""
    return write.channel == INTERRUPT and moment.end is not None


def _earlier(row: Mapping[str, Any], made_by: str | None) -> bool:
    """Whether another run than the step's own made a nested checkpoint."""
    return made_by is not None and row["metadata"].get("run_id") != made_by


def _seq(moment: Moment) -> int:
    """The step's number, by which its effect keys begin."""
    if moment.end is not None:
        return int(moment.end.row.metadata.get(SEQ, 0))
    return max(moment.thread.seq - 1, 0)


def _graph_id(moment: Moment) -> str:
    found = moment.thread.metadata.get("graph_id")
    if found is None:
        raise BadInput("nobody says which graph the thread is of: name it with --graph")
    return str(found)


def _result(codec: Codec, stored: Stored, *, asked: bool) -> Result:
    decoded = codec.decode(stored)
    questions = {task: list(told) for task, channel, told in decoded.writes if channel == INTERRUPT}
    return Result(
        jsonable(visible_values(decoded.checkpoint)),
        interrupts_json(questions) if asked else {},
        codec.pending_nodes(stored, Known()),
    )


async def _left(memory: MemoryStore, codec: Codec, run: Run) -> Result:
    """Where the replay left its copy of the thread."""
    thread = await memory.get_thread(run.thread_id, run.owner)
    stored = await memory.load(run.thread_id, "", thread.head)
    assert stored is not None, "the copy has what the step started from"
    result = _result(codec, stored, asked=False)
    return replace(result, interrupts=thread.interrupts, error=run.error)
