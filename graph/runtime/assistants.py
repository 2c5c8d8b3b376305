"""Assistants: one for each graph of the project, which has no row, and those that clients make."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from graph.ceilings import budget_of
from graph.errors import Conflict, NotFound
from graph.runtime.containment import contains
from graph.runtime.engine import Runtime
from graph.runtime.models import Assistant, AssistantChange, AssistantQuery, Json
from graph.runtime.retention import check_retention

# LangGraph's own: clients that know an assistant by its id find the same one here.
NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
METADATA: Json = {"created_by": "system"}
EVER = datetime.fromtimestamp(0, UTC)  # a project's graphs have no moment of making


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a run takes of its assistant when it is accepted: later versions do not change it."""

    assistant_id: str
    graph_id: str
    kwargs: Json
    metadata: Json


async def find_assistant(rt: Runtime, name: str, owner: str) -> Assistant:
    """The assistant of that id or graph; raises NotFound."""
    found = _default(rt, name)
    if found is None and (assistant_id := _id(name)):
        found = await rt.store.get_assistant(assistant_id, owner)
    if found is None:
        raise _unknown(rt, name)
    return found


async def find_runnable(rt: Runtime, name: str, owner: str) -> Assistant:
    """The same, of a graph that the project has; raises Conflict for another."""
    found = await find_assistant(rt, name, owner)
    if found.graph_id not in rt.graphs.names():
        raise Conflict(
            f"assistant {name} is of graph {found.graph_id!r}, which the project has not (any "
            f"more): it has {_graphs(rt)}; deploy that graph, or update the assistant's graph_id"
        )
    return found


def pinned(assistant: Assistant, kwargs: Json, metadata: Json) -> Pinned:
    """What a run asked of an assistant comes to: the assistant's values below the request's."""
    config, asked = assistant.config, kwargs.get("config") or {}
    configurable = {**config.get("configurable", {}), **asked.get("configurable", {})}
    merged = {**config, **asked, **({"configurable": configurable} if configurable else {})}
    context = {**assistant.context, **(kwargs.get("context") or {})}
    kwargs = {key: value for key, value in kwargs.items() if key not in ("config", "context")}
    if merged:
        kwargs["config"] = merged
    if context:
        kwargs["context"] = context
    if _is_default(assistant):
        return Pinned(assistant.assistant_id, assistant.graph_id, kwargs, metadata)
    kwargs["assistant_version"] = assistant.version
    metadata = {**assistant.metadata, **metadata}
    return Pinned(assistant.assistant_id, assistant.graph_id, kwargs, metadata)


def new_assistant(assistant_id: str, owner: str, said: AssistantChange) -> Assistant:
    """Version 1 of an assistant, to be given to `create_assistant`."""
    now = datetime.now(UTC)
    return Assistant(
        assistant_id,
        owner,
        graph_id=said.graph_id or "",
        name=said.name or "Untitled",
        created_at=now,
        updated_at=now,
        config=said.config or {},
        context=said.context or {},
        metadata=said.metadata or {},
        description=said.description,
    )


async def create_assistant(rt: Runtime, new: Assistant, *, if_exists: str) -> Assistant:
    """Raises NotFound without the graph, Conflict when it exists.

    Raises BadInput for a budget or a retention that cannot be kept to.
    """
    _must_have(rt, new.graph_id)
    budget_of({"config": new.config})
    check_retention(new.metadata)
    exists = _default(rt, new.assistant_id)
    if exists is None:
        if made := await rt.store.create_assistant(new):
            return made
        exists = await rt.store.get_assistant(new.assistant_id, new.owner)
    if exists is None or if_exists != "do_nothing":
        raise Conflict(
            f"assistant {new.assistant_id} exists already: update it or leave the id out"
        )
    return exists


async def update_assistant(
    rt: Runtime, name: str, owner: str, change: AssistantChange
) -> Assistant:
    """Make a new version and put it in force; raises what `create_assistant` raises."""
    if change.graph_id is not None:
        _must_have(rt, change.graph_id)
    budget_of({"config": change.config})
    check_retention(change.metadata)
    assistant_id = _own(rt, name)
    if made := await rt.store.update_assistant(assistant_id, owner, change):
        return made
    raise _unknown(rt, name)


async def set_latest(rt: Runtime, name: str, owner: str, version: int) -> Assistant:
    """Put a version in force; raises NotFound."""
    found = await find_assistant(rt, name, owner)
    if _is_default(found):
        chosen = found if version == found.version else None
    else:
        chosen = await rt.store.set_latest(found.assistant_id, owner, version)
    if chosen is None:
        raise NotFound(f"assistant {name} has no version {version}")
    return chosen


async def list_versions(
    rt: Runtime, name: str, owner: str, query: AssistantQuery
) -> list[Assistant]:
    """Newest first; of the query, metadata, limit and offset count. Raises NotFound."""
    found = await find_assistant(rt, name, owner)
    if _is_default(found):
        versions = [found] if contains(found.metadata, query.metadata) else []
        return versions[query.offset : query.offset + query.limit]
    return await rt.store.list_versions(
        found.assistant_id,
        owner,
        metadata=query.metadata,
        limit=query.limit,
        offset=query.offset,
    )


async def search_assistants(
    rt: Runtime, owner: str, query: AssistantQuery
) -> tuple[list[Assistant], int]:
    """One page and the number of all matches, the project's own among them."""
    return await rt.store.search_assistants(owner, query, _defaults(rt))


async def delete_assistant(rt: Runtime, name: str, owner: str, *, with_threads: bool) -> None:
    """Drop it, and with it the threads it ran on if asked; raises NotFound, Conflict."""
    assistant_id = _own(rt, name)
    if not await rt.store.delete_assistant(assistant_id, owner, with_threads=with_threads):
        raise _unknown(rt, name)


def _defaults(rt: Runtime) -> list[Assistant]:
    return [
        Assistant(
            assistant_id=str(uuid5(NAMESPACE, graph_id)),
            owner="",  # nobody's, and everybody's
            graph_id=graph_id,
            name=graph_id,
            metadata=METADATA,
            created_at=EVER,
            updated_at=EVER,
        )
        for graph_id in rt.graphs.names()
    ]


def _default(rt: Runtime, name: str) -> Assistant | None:
    names = (name, _id(name))
    return next((d for d in _defaults(rt) if d.graph_id == name or d.assistant_id in names), None)


def _is_default(assistant: Assistant) -> bool:
    return not assistant.owner


def _own(rt: Runtime, name: str) -> str:
    """The id of an assistant that may be changed."""
    if default := _default(rt, name):
        raise Conflict(
            f"assistant {name} is the project's own and cannot be changed: create another of graph "
            f"{default.graph_id!r}"
        )
    if assistant_id := _id(name):
        return assistant_id
    raise _unknown(rt, name)


def _id(name: str) -> str | None:
    """The id that a client wrote, as it is stored; None for what is none."""
    try:
        return str(UUID(name))
    except ValueError:
        return None


def _must_have(rt: Runtime, graph_id: str) -> None:
    if graph_id not in rt.graphs.names():
        raise NotFound(f"graph {graph_id!r} does not exist: the project has {_graphs(rt)}")


def _unknown(rt: Runtime, name: str) -> NotFound:
    return NotFound(f"assistant {name!r} does not exist: the project has {_graphs(rt)}")


def _graphs(rt: Runtime) -> str:
    return ", ".join(rt.graphs.names())
