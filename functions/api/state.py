"""A thread's state: now, at a checkpoint, through its history, and edited."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from functions.api.answers import answer
from functions.api.edge import Api, Edge
from functions.api.limits import StrictRoute
from functions.api.owner import Owner
from functions.api.schemas import CheckpointRef, HistoryQuery, StateAt, StateUpdate

router = APIRouter(tags=["State"], route_class=StrictRoute)


@router.get("/threads/{thread_id}/state")
async def get(api: Api, owner: Owner, thread_id: UUID, subgraphs: bool = False) -> Response:
    return await _state(api, owner, thread_id, StateAt(checkpoint=_HEAD, subgraphs=subgraphs))


@router.get("/threads/{thread_id}/state/{checkpoint_id}")
async def get_at(
    api: Api, owner: Owner, thread_id: UUID, checkpoint_id: UUID, subgraphs: bool = False
) -> Response:
    at = CheckpointRef(checkpoint_id=checkpoint_id)
    return await _state(api, owner, thread_id, StateAt(checkpoint=at, subgraphs=subgraphs))


@router.post("/threads/{thread_id}/state/checkpoint")
async def get_at_any(api: Api, owner: Owner, thread_id: UUID, asked: StateAt) -> Response:
    """At a checkpoint of a nested graph, too."""
    return await _state(api, owner, thread_id, asked)


@router.post("/threads/{thread_id}/state")
async def update(api: Api, owner: Owner, thread_id: UUID, asked: StateUpdate) -> Response:
    """Write values as a node would; from a checkpoint in the past, a fork."""
    from graph.runtime.threads import Edit, update_state  # noqa: PLC0415 - LangGraph loads late

    at = asked.checkpoint or CheckpointRef(checkpoint_id=asked.checkpoint_id)
    thread = await api.rt.store.get_thread(str(thread_id), owner)
    made = await update_state(api.rt, thread, Edit(asked.values, asked.as_node, _place(at)))
    return answer(
        {"checkpoint": made, "configurable": made, "checkpoint_id": made["checkpoint_id"]}
    )


@router.post("/threads/{thread_id}/history")
async def history(api: Api, owner: Owner, thread_id: UUID, asked: HistoryQuery) -> Response:
    """States, newest first."""
    from graph.runtime.threads import Past, read_history  # noqa: PLC0415 - LangGraph loads late

    before = asked.before
    if isinstance(before, CheckpointRef):
        before = before.checkpoint_id
    past = Past(
        limit=asked.limit,
        before=str(before) if before else None,
        metadata=asked.metadata,
        at=_place(asked.checkpoint or _HEAD),
    )
    thread = await api.rt.store.get_thread(str(thread_id), owner)
    return answer(await read_history(api.rt, thread, past))


@router.get("/threads/{thread_id}/history")
async def history_by_query(
    api: Api,
    owner: Owner,
    thread_id: UUID,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    before: UUID | None = None,
) -> Response:
    return await history(api, owner, thread_id, HistoryQuery(limit=limit, before=before))


_HEAD = CheckpointRef()


async def _state(api: Edge, owner: str, thread_id: UUID, asked: StateAt) -> Response:
    from graph.runtime.threads import read_state  # noqa: PLC0415 - LangGraph loads late

    thread = await api.rt.store.get_thread(str(thread_id), owner)
    place = _place(asked.checkpoint)
    return answer(await read_state(api.rt, thread, place, nested=asked.subgraphs))


def _place(at: CheckpointRef) -> Any:
    from graph.runtime.threads import Place  # noqa: PLC0415 - LangGraph loads late

    named = str(at.checkpoint_id) if at.checkpoint_id else None
    return Place(named, at.checkpoint_ns or "", at.checkpoint_map)
