"""Threads: made, found, changed, deleted."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response
from uuid_utils.compat import uuid7

from functions.api.answers import answer, nothing, page_headers, selected, thread_json
from functions.api.edge import Api
from functions.api.limits import StrictRoute
from functions.api.owner import Owner
from functions.api.schemas import ThreadCreate, ThreadFilter, ThreadSearch, ThreadUpdate
from graph.runtime.runs import new_thread

router = APIRouter(tags=["Threads"], route_class=StrictRoute)


@router.post("/threads")
async def create(api: Api, owner: Owner, asked: ThreadCreate) -> Response:
    metadata = dict(asked.metadata or {})
    if asked.graph_id is not None:
        metadata["graph_id"] = asked.graph_id
    thread = new_thread(
        str(asked.thread_id or uuid7()),
        owner,
        metadata=metadata,
        ttl_minutes=asked.ttl.ttl if asked.ttl else None,
        ttl_strategy=asked.ttl.strategy if asked.ttl else None,
    )
    made = await api.rt.store.create_thread(thread, if_exists=asked.if_exists)
    return answer(await thread_json(api.rt, made))


@router.post("/threads/search")
async def search(api: Api, owner: Owner, asked: ThreadSearch) -> Response:
    query = asked.query(
        limit=asked.limit,
        offset=asked.offset,
        sort_by=asked.sort_by or "created_at",
        descending=asked.sort_order != "asc",
    )
    page, total = await api.rt.store.search_threads(owner, query)
    values = not asked.select or "values" in asked.select
    found = [await thread_json(api.rt, thread, values=values) for thread in page]
    headers = page_headers(total, limit=asked.limit, offset=asked.offset)
    return answer([selected(item, asked.select) for item in found], headers=headers)


@router.post("/threads/count")
async def count(api: Api, owner: Owner, asked: ThreadFilter) -> Response:
    _, total = await api.rt.store.search_threads(owner, asked.query(limit=1))
    return answer(total)


@router.get("/threads/{thread_id}")
async def get(api: Api, owner: Owner, thread_id: UUID) -> Response:
    return answer(await thread_json(api.rt, await api.rt.store.get_thread(str(thread_id), owner)))


@router.patch("/threads/{thread_id}")
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


@router.delete("/threads/{thread_id}")
async def delete(api: Api, owner: Owner, thread_id: UUID) -> Response:
    await api.rt.store.delete_thread(str(thread_id), owner)
    return nothing()
