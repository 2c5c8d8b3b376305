"""A thread's state: now, at a checkpoint, through its history, and edited."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from functions.api.access.owner import Owner
from functions.api.answers import answer, selected
from functions.api.edge import Api, Edge
from functions.api.request.if_match import IfMatch
from functions.api.routing import routes_of
from functions.api.schemas.answers import Problem, list_of, partial
from functions.api.schemas.fields import CheckpointRef
from functions.api.schemas.state import (
    HistoryQuery,
    StateAnswer,
    StateAt,
    StateField,
    StateUpdate,
    UpdateAnswer,
)
from graph.runtime.late import late
from graph.runtime.models import Json

router = routes_of("State", prefix="/threads/{thread_id}")

FoundState = partial(StateAnswer)
Select = Annotated[
    list[StateField] | None, Query(description="fields; `values.messages` for a part of the values")
]


@router.get("/state", response_model=FoundState)
async def get(
    api: Api, owner: Owner, thread_id: UUID, subgraphs: bool = False, select: Select = None
) -> Response:
    """The newest state; its `ETag` is what `If-Match` takes."""
    asked = StateAt(checkpoint=_HEAD, subgraphs=subgraphs, select=select)
    return await _state(api, owner, thread_id, asked)


@router.get("/state/{checkpoint_id}", response_model=FoundState)
async def get_at(
    api: Api,
    owner: Owner,
    thread_id: UUID,
    checkpoint_id: UUID,
    subgraphs: bool = False,
    select: Select = None,
) -> Response:
    at = CheckpointRef(checkpoint_id=checkpoint_id)
    asked = StateAt(checkpoint=at, subgraphs=subgraphs, select=select)
    return await _state(api, owner, thread_id, asked)


@router.post("/state/checkpoint", response_model=FoundState)
async def get_at_any(api: Api, owner: Owner, thread_id: UUID, asked: StateAt) -> Response:
    """At a checkpoint of a nested graph, too."""
    return await _state(api, owner, thread_id, asked)


@router.post(
    "/state",
    response_model=UpdateAnswer,
    responses={412: {"model": Problem, "description": "The thread has moved on."}},
)
async def update(
    api: Api, owner: Owner, thread_id: UUID, asked: StateUpdate, expected: IfMatch
) -> Response:
    """Write values as a node would; from a checkpoint in the past, a fork."""
    from graph.runtime.edits import Edit, Write, update_state

    at = asked.checkpoint or CheckpointRef(checkpoint_id=asked.checkpoint_id)
    thread = await api.rt.store.get_thread(str(thread_id), owner)
    edit = Edit(Write(asked.values, asked.as_node), _place(at), expected)
    made = await update_state(api.rt, thread, edit)
    return answer(
        {"checkpoint": made, "configurable": made, "checkpoint_id": made["checkpoint_id"]}
    )


@router.post("/history", response_model=list_of(FoundState))
async def history(api: Api, owner: Owner, thread_id: UUID, asked: HistoryQuery) -> Response:
    """States, newest first."""
    await late("graph.runtime.threads")
    from graph.runtime.threads import Past, read_history

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
    states = await read_history(api.rt, thread, past)
    return answer([_shown(state, asked.select) for state in states])


@router.get("/history", response_model=list_of(FoundState))
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
    await late("graph.runtime.threads")
    from graph.runtime.threads import read_state

    thread = await api.rt.store.get_thread(str(thread_id), owner)
    place = _place(asked.checkpoint)
    state = await read_state(api.rt, thread, place, nested=asked.subgraphs)
    newest = state["checkpoint_id"] if asked.checkpoint == _HEAD else None
    tag = {"ETag": f'"{newest}"'} if newest else None
    return answer(_shown(state, asked.select), headers=tag)


def _shown(state: Json, fields: Sequence[str] | None) -> Json:
    """The state, or those of its fields, and of its values, that were asked for."""
    shown = selected(state, [field.split(".")[0] for field in fields or ()])
    parts = {field.removeprefix("values.") for field in fields or () if field.startswith("values.")}
    if not parts or "values" in (fields or ()) or not isinstance(shown["values"], dict):
        return shown
    return {**shown, "values": {k: v for k, v in shown["values"].items() if k in parts}}


def _place(at: CheckpointRef) -> Any:
    from graph.runtime.threads import Place

    named = str(at.checkpoint_id) if at.checkpoint_id else None
    return Place(named, at.checkpoint_ns or "", at.checkpoint_map)
