"""Runs: created, awaited, looked at, cancelled, deleted."""

import hashlib
from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from functions.api.answers import answer, nothing, run_json, selected
from functions.api.edge import Api, Edge
from functions.api.limits import StrictRoute
from functions.api.owner import Owner
from functions.api.run_schema import RunCreate
from functions.api.schemas import Limit, Offset
from functions.api.waiting import end_of, where
from graph.errors import BadInput
from graph.runtime.assistants import find_assistant
from graph.runtime.models import NewRun, Run, RunStatus
from graph.runtime.runs import start_run, stop_run

router = APIRouter(prefix="/threads/{thread_id}/runs", tags=["Runs"], route_class=StrictRoute)


# How a run is followed, which does not make it another one.
LISTENING = {"stream_mode", "stream_subgraphs", "stream_resumable", "on_disconnect"}


class Page(BaseModel):
    """Which of a thread's runs to list."""

    limit: Limit = 10
    offset: Offset = 0
    status: RunStatus | None = None
    select: list[str] | None = None


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A request that comes again with the same key makes no second run.",
    ),
]


@router.post("")
async def create(
    api: Api, owner: Owner, thread_id: UUID, asked: RunCreate, key: Key = None
) -> Response:
    run = await start(api, owner, thread_id, asked, key)
    return answer(run_json(run), headers=where(run))


@router.post("/wait")
async def wait(
    request: Request, api: Api, owner: Owner, thread_id: UUID, asked: RunCreate, key: Key = None
) -> Response:
    """Create a run and wait for its final values."""
    run = await start(api, owner, thread_id, asked, key)
    return await end_of(request, api, run, join=f"{run.run_id}/join")


@router.get("")
async def list_(
    api: Api,
    owner: Owner,
    thread_id: UUID,
    page: Annotated[Page, Query()],
) -> Response:
    """Newest first."""
    runs = await api.rt.store.list_runs(
        str(thread_id), owner, status=page.status, limit=page.limit, offset=page.offset
    )
    return answer([selected(run_json(run), page.select) for run in runs])


@router.get("/{run_id}")
async def get(api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Response:
    return answer(run_json(await api.rt.store.get_run(str(run_id), str(thread_id), owner)))


@router.get("/{run_id}/join")
async def join(request: Request, api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Response:
    """Wait for a run's final values."""
    run = await api.rt.store.get_run(str(run_id), str(thread_id), owner)
    return await end_of(request, api, run, join="join")


@router.post("/{run_id}/cancel")
async def cancel(  # a cancelled run has ended when this answers: there is nothing to wait for
    api: Api,
    owner: Owner,
    thread_id: UUID,
    run_id: UUID,
    wait: bool = False,
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> Response:
    if action == "rollback":
        raise BadInput("action=rollback is not available yet: use interrupt")
    await stop_run(api.rt, str(run_id), str(thread_id), owner)
    return nothing(204 if wait else 202)


@router.delete("/{run_id}")
async def delete(api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Response:
    await api.rt.store.delete_run(str(run_id), str(thread_id), owner)
    return nothing()


async def start(api: Edge, owner: str, thread_id: UUID, asked: RunCreate, key: str | None) -> Run:
    """Accept a run; raises what `start_run` raises."""
    assistant = find_assistant(api.rt.graphs.names(), asked.assistant_id)
    new = NewRun(
        run_id=str(uuid7()),
        thread_id=str(thread_id),
        owner=owner,
        assistant_id=assistant.assistant_id,
        graph_id=assistant.graph_id,
        kwargs=asked.kwargs,
        metadata=asked.metadata or {},
        multitask_strategy=asked.multitask_strategy,
        idempotency_key=key,
        request_hash=_hash(thread_id, asked) if key else None,
        delay=asked.after_seconds,
    )
    return await start_run(api.rt, new, make_thread=asked.if_not_exists == "create")


def _hash(thread_id: UUID, asked: RunCreate) -> str:
    """The same for requests that ask for the same run, however their JSON is written."""
    said = {"thread_id": thread_id, **asked.model_dump(exclude=LISTENING)}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
