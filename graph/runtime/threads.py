"""A thread's state, past and present, read through its graph."""

from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from graph.errors import Conflict, NotFound
from graph.runtime.checkpoints import Checkpoints, bound, config_of, strict_serializer
from graph.runtime.engine import Runtime
from graph.runtime.long_term import with_store
from graph.runtime.models import Json, Thread
from graph.runtime.snapshots import asking, empty_state, state_json


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint of a thread: the newest without an id, the root graph's without a namespace."""

    checkpoint_id: str | None = None
    ns: str = ""
    map: Json | None = None  # namespace -> checkpoint id, of the graphs around a nested one


NEWEST = Place()


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
    graph = bound(await graph_of(rt, thread), _reader(rt))
    state = await graph.aget_state(config_at(thread.thread_id, at), subgraphs=nested)
    if state.created_at is None:
        raise _unknown(thread, at)
    shown = state_json(state)
    return asking(shown, thread) if at == NEWEST else shown


async def read_history(rt: Runtime, thread: Thread, past: Past) -> list[Json]:
    """The states at the thread's checkpoints, newest first; raises NotFound."""
    found: list[StateSnapshot] = []
    before = Place(past.before, past.at.ns)
    if thread.head is not None:
        graph = bound(await graph_of(rt, thread), _reader(rt))
        states = graph.aget_state_history(
            config_at(thread.thread_id, past.at),
            filter=past.metadata,
            before=config_at(thread.thread_id, before) if past.before else None,
            limit=past.limit,
        )
        found = [state async for state in states]
    if not found:
        await must_exist(rt, thread, before)
        await must_exist(rt, thread, past.at)
    return [state_json(state) for state in found]


async def graph_of(rt: Runtime, thread: Thread) -> Any:
    """The graph that the thread's state is of; raises Conflict when nobody has said."""
    graph_id = thread.metadata.get("graph_id")
    if graph_id is None and thread.head is not None:
        stored = await rt.store.load(thread.thread_id, "", thread.head)
        graph_id = stored and stored.row.metadata.get("graph_id")
    if not isinstance(graph_id, str):
        raise Conflict(
            f"thread {thread.thread_id} has no graph yet: run one on it, or create it with graph_id"
        )
    if graph_id not in (known := rt.graphs.names()):
        raise Conflict(
            f"thread {thread.thread_id} is of graph {graph_id!r}, which the project has not (any "
            f"more): it has {', '.join(known)}; deploy that graph, or change the thread's "
            "metadata.graph_id"
        )
    return with_store(await rt.graphs.load(graph_id, thread.config), rt, thread.owner)


def _reader(rt: Runtime) -> Checkpoints:
    return Checkpoints(rt.store, serde=strict_serializer(rt.allowed_types))


def config_at(thread_id: str, at: Place) -> RunnableConfig:
    """LangGraph's address of a place."""
    config = config_of(thread_id, at.ns, at.checkpoint_id)
    if at.map is not None:
        config["configurable"]["checkpoint_map"] = at.map
    return config


async def must_exist(rt: Runtime, thread: Thread, at: Place) -> None:
    if at == NEWEST:
        return
    if await rt.store.load(thread.thread_id, at.ns, at.checkpoint_id) is None:
        raise _unknown(thread, at)


def _unknown(thread: Thread, at: Place) -> NotFound:
    what = f"checkpoint {at.checkpoint_id}" if at.checkpoint_id else "a checkpoint"
    where = f" in namespace {at.ns!r}" if at.ns else ""
    return NotFound(f"{what}{where} does not exist on thread {thread.thread_id}")
