"""A thread's state, past and present, read and edited through its graph."""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from graph.errors import AgentError, BadInput, Conflict, NotFound
from graph.runtime.checkpoints import Checkpoints, bound, config_of, strict_serializer
from graph.runtime.engine import Runtime
from graph.runtime.models import Claim, Ending, Json, StepResult, Thread
from graph.runtime.rendering import interrupts_json
from graph.runtime.runs import pass_on
from graph.runtime.snapshots import checkpoint_json, empty_state, state_json
from graph.runtime.step_saver import StepSaver

EDIT_LEASE = 30.0  # seconds; longer than an edit may take


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint of a thread: the newest without an id, the root graph's without a namespace."""

    checkpoint_id: str | None = None
    ns: str = ""
    map: Json | None = None  # namespace -> checkpoint id, of the graphs around a nested one


NEWEST = Place()


@dataclass(frozen=True, slots=True)
class Edit:
    """What a client writes into a state, as the node that it says it is."""

    values: Any
    as_node: str | None = None
    at: Place = NEWEST


@dataclass(frozen=True, slots=True)
class Past:
    """Which checkpoints of the past to list, newest first."""

    limit: int = 10
    before: str | None = None
    metadata: Json | None = None
    at: Place = NEWEST


async def read_state(rt: Runtime, thread: Thread, at: Place, *, nested: bool = False) -> Json:
    """The state at a place, with the states of nested graphs if asked; raises NotFound."""
    if thread.head is None and at == NEWEST:
        return empty_state(thread.thread_id)
    graph = bound(await _graph(rt, thread), _reader(rt))
    state = await graph.aget_state(_config(thread, at), subgraphs=nested)
    if state.created_at is None:
        raise _unknown(thread, at)
    return state_json(state)


async def read_history(rt: Runtime, thread: Thread, past: Past) -> list[Json]:
    """The states at the thread's checkpoints, newest first; raises NotFound."""
    found: list[StateSnapshot] = []
    before = Place(past.before, past.at.ns)
    if thread.head is not None:
        graph = bound(await _graph(rt, thread), _reader(rt))
        states = graph.aget_state_history(
            _config(thread, past.at),
            filter=past.metadata,
            before=_config(thread, before) if past.before else None,
            limit=past.limit,
        )
        found = [state async for state in states]
    if not found:
        await _must_exist(rt, thread, before)
        await _must_exist(rt, thread, past.at)
    return [state_json(state) for state in found]


async def update_state(rt: Runtime, thread: Thread, edit: Edit) -> Json:
    """Write values into a state; the checkpoint that this makes.

    Raises NotFound, BadInput when the graph refuses the values, Conflict while a run is active.
    The edit is tried before the thread is held: one that is refused leaves no trace.
    """
    await _must_exist(rt, thread, edit.at)
    graph = await _graph(rt, thread)
    seen = await rt.store.load(thread.thread_id, "", thread.head) if thread.head else None
    unheld = Claim(thread.thread_id, thread.owner, thread.seq, 0, 0, thread.head, None, seen)
    checkpoint, result = await _edited(rt, graph, edit, unheld)
    claim = await rt.store.hold(thread.thread_id, thread.owner, lease=EDIT_LEASE)
    if claim.stored != seen:  # a run came and went meanwhile
        checkpoint, result = await _edited(rt, graph, edit, claim)
    await pass_on(rt, await rt.store.advance(claim, result), owner=thread.owner)
    return checkpoint


async def _edited(rt: Runtime, graph: Any, edit: Edit, claim: Claim) -> tuple[Json, StepResult]:
    """The checkpoint that an edit makes, and what is to be saved of it."""
    saver = StepSaver(rt.store, claim, serde=strict_serializer(rt.allowed_types))
    twin = bound(graph, saver)
    try:
        made = await twin.aupdate_state(_config(claim, edit.at), edit.values, edit.as_node)
        state = await twin.aget_state(_config(claim, NEWEST))
    except AgentError:
        raise
    except Exception as error:  # the edge to users' code: reducers and state types see the values
        raise BadInput(f"the graph refuses the values: {type(error).__name__}: {error}") from error
    # A task that asks nothing still makes the thread `interrupted`: it is paused in front of it.
    waiting = {task.id: task.interrupts for task in state.tasks}
    head = saver.head.checkpoint_id if saver.head else None
    result = StepResult(
        Ending.DONE, rows=saver.step_rows(), head=head, interrupts=interrupts_json(waiting)
    )
    checkpoint = checkpoint_json(made)
    assert checkpoint is not None, "an update makes a checkpoint"
    return checkpoint, result


async def _graph(rt: Runtime, thread: Thread) -> Any:
    """The graph that the thread's state is of; raises Conflict when nobody has said."""
    graph_id = thread.metadata.get("graph_id")
    if graph_id is None and thread.head is not None:
        stored = await rt.store.load(thread.thread_id, "", thread.head)
        graph_id = stored and stored.row.metadata.get("graph_id")
    if not isinstance(graph_id, str):
        raise Conflict(
            f"thread {thread.thread_id} has no graph yet: run one on it, or create it with graph_id"
        )
    return await rt.graphs.load(graph_id, thread.config)


def _reader(rt: Runtime) -> Checkpoints:
    return Checkpoints(rt.store, serde=strict_serializer(rt.allowed_types))


def _config(thread: Thread | Claim, at: Place) -> RunnableConfig:
    config = config_of(thread.thread_id, at.ns, at.checkpoint_id)
    if at.map is not None:
        config["configurable"]["checkpoint_map"] = at.map
    return config


async def _must_exist(rt: Runtime, thread: Thread, at: Place) -> None:
    if at == NEWEST:
        return
    if await rt.store.load(thread.thread_id, at.ns, at.checkpoint_id) is None:
        raise _unknown(thread, at)


def _unknown(thread: Thread, at: Place) -> NotFound:
    what = f"checkpoint {at.checkpoint_id}" if at.checkpoint_id else "a checkpoint"
    where = f" in namespace {at.ns!r}" if at.ns else ""
    return NotFound(f"{what}{where} does not exist on thread {thread.thread_id}")
