"""Threads: made, copied, found, changed, deleted."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Response
from uuid_utils.compat import uuid7

from functions.api.access.owner import Owner
from functions.api.answers import (
    answer,
    nothing,
    page_headers,
    selected,
    thread_json,
    threads_json,
)
from functions.api.edge import Api, Edge
from functions.api.routing import routes_of
from functions.api.schemas.answers import list_of, partial
from functions.api.schemas.extract import extracted
from functions.api.schemas.threads import (
    Pruned,
    StateWrite,
    ThreadAnswer,
    ThreadCreate,
    ThreadFilter,
    ThreadPrune,
    ThreadSearch,
    ThreadUpdate,
)
from graph.errors import BadInput
from graph.runtime.late import late
from graph.runtime.models import Json, Thread
from graph.runtime.runs import new_thread
from graph.runtime.thread_search import find_threads, prune_threads

router = routes_of("Threads")

Include = Annotated[
    str | None, Query(pattern="^ttl$", description="`ttl`, which is always included")
]
FoundThread = partial(ThreadAnswer, extracted=Json)


@router.post("/threads", response_model=ThreadAnswer)
async def create(api: Api, owner: Owner, asked: ThreadCreate) -> Response:
    metadata = dict(asked.metadata or {})
    if asked.graph_id is not None:
        metadata["graph_id"] = asked.graph_id
    ttl = (asked.ttl.ttl, asked.ttl.strategy) if asked.ttl else api.rt.retention.ttl
    minutes, strategy = ttl or (None, None)
    thread = new_thread(
        str(asked.thread_id or uuid7()),
        owner,
        metadata=metadata,
        ttl_minutes=minutes,
        ttl_strategy=strategy,
    )
    if asked.supersteps:
        made = await _with_state(api, thread, asked)
    else:
        made = await api.rt.store.create_thread(thread, if_exists=asked.if_exists)
    return answer(await thread_json(api.rt, made))


@router.post("/threads/search", response_model=list_of(FoundThread))
async def search(api: Api, owner: Owner, asked: ThreadSearch) -> Response:
    """A search by values reads the states of up to 1000 threads that the rest of it leaves."""
    query = asked.query(**asked.page)
    page, total = await find_threads(api.rt, owner, query, asked.values)
    found = await threads_json(api.rt, page, owner, values=asked.needs_values)
    headers = page_headers(total, limit=asked.limit, offset=asked.offset)
    return answer([_shown(item, asked) for item in found], headers=headers)


@router.post("/threads/count", response_model=int)
async def count(api: Api, owner: Owner, asked: ThreadFilter) -> Response:
    _, total = await find_threads(api.rt, owner, asked.query(limit=1), asked.values)
    return answer(total)


@router.post("/threads/prune", response_model=Pruned)
async def prune(api: Api, owner: Owner, asked: ThreadPrune) -> Response:
    """Delete threads or their history; those that there are not are not counted."""
    thread_ids = [str(thread_id) for thread_id in asked.thread_ids]
    keep_latest = asked.strategy == "keep_latest"
    pruned = await prune_threads(api.rt, thread_ids, owner, keep_latest=keep_latest)
    return answer({"pruned_count": pruned})


@router.post("/threads/{thread_id}/copy", response_model=ThreadAnswer)
async def copy(api: Api, owner: Owner, thread_id: UUID) -> Response:
    """A new thread with the same metadata, state and history; runs stay where they are."""
    made = await api.rt.store.copy_thread(str(thread_id), owner, str(uuid7()))
    return answer(await thread_json(api.rt, made))


@router.get("/threads/{thread_id}", response_model=ThreadAnswer)
async def get(
    api: Api,
    owner: Owner,
    thread_id: UUID,
    include: Include = None,  # noqa: ARG001 - it is checked
) -> Response:
    return answer(await thread_json(api.rt, await api.rt.store.get_thread(str(thread_id), owner)))


@router.patch("/threads/{thread_id}", response_model=ThreadAnswer)
async def update(
    api: Api,
    owner: Owner,
    thread_id: UUID,
    asked: ThreadUpdate,
    prefer: Annotated[str | None, Header()] = None,
) -> Response:
    """Merge metadata, set the TTL; `Prefer: return=minimal` spares the answer."""
    ttl = (asked.ttl.ttl, asked.ttl.strategy) if asked.ttl else None
    thread = await api.rt.store.update_thread(
        str(thread_id), owner, metadata=asked.metadata, ttl=ttl
    )
    minimal = prefer is not None and "return=minimal" in prefer.lower()
    return nothing() if minimal else answer(await thread_json(api.rt, thread))


@router.delete("/threads/{thread_id}", status_code=204, response_class=Response)
async def delete(api: Api, owner: Owner, thread_id: UUID) -> Response:
    await api.rt.store.delete_thread(str(thread_id), owner)
    return nothing()


async def _with_state(api: Edge, thread: Thread, asked: ThreadCreate) -> Thread:
    await late("graph.runtime.edits")
    from graph.runtime.edits import Write, create_with_state

    if "graph_id" not in thread.metadata:
        raise BadInput("body.supersteps: they need a graph_id: which graph's state is it?")

    def write(of: StateWrite) -> Write:
        command = None if of.command is None else of.command.model_dump(exclude_unset=True)
        return Write(of.values, of.as_node, command)

    supersteps = [[write(of) for of in superstep.updates] for superstep in asked.supersteps or ()]
    return await create_with_state(api.rt, thread, supersteps, if_exists=asked.if_exists)


def _shown(item: Json, asked: ThreadSearch) -> Json:
    shown = selected(item, asked.select)
    return {**shown, "extracted": extracted(item, asked.extract)} if asked.extract else shown
