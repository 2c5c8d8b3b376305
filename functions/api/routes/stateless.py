"""Runs without a thread that their client knows of, and runs by their own id."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Body, Depends, Request, Response

from functions.api.access.owner import Owner
from functions.api.answers import answer, nothing, run_json
from functions.api.edge import Api
from functions.api.following.accepting import Key, start_alone, start_one
from functions.api.following.on_line import on_line
from functions.api.following.segments import followed
from functions.api.following.waiting import end_of, where
from functions.api.routes.runs import ACCEPTING, FINAL, WAITING
from functions.api.routes.streams import From
from functions.api.routing import routes_of
from functions.api.schemas.answers import STREAM
from functions.api.schemas.runs import Alone, AloneStream, AloneWait, RunAnswer, RunsCancel
from graph.errors import NotFound
from graph.runtime.models import Run, RunStatus
from graph.runtime.runs import stop_runs
from graph.runtime.telling import Reading

router = routes_of("Runs", prefix="/runs", responses=ACCEPTING)

Batch = Annotated[list[Alone], Body(min_length=1, max_length=100)]


async def run_by_id(api: Api, owner: Owner, run_id: UUID) -> Run:
    """The run of that id, on whichever of the owner's threads; raises NotFound."""
    found = await api.rt.store.runs_by_id([str(run_id)])
    if not found or found[0].owner != owner:
        raise NotFound(f"run {run_id} does not exist")
    return found[0]


ById = Annotated[Run, Depends(run_by_id)]


@router.post("", response_model=RunAnswer)
async def create(api: Api, owner: Owner, asked: Alone, key: Key = None) -> Response:
    """Create a run on a thread of its own, which goes an hour after the run's end, or is kept."""
    run = await start_one(api, owner, asked, key)
    return answer(run_json(run), headers=where(run))


@router.post("/wait", responses=WAITING)
async def wait(
    request: Request, api: Api, owner: Owner, asked: AloneWait, key: Key = None
) -> Response:
    """Create such a run and wait for its final values."""
    run = await on_line(request, api, lambda at: start_one(at, owner, asked, key))
    join = f"../threads/{run.thread_id}/runs/{run.run_id}/join"
    cancels = asked.on_disconnect == "cancel"
    return await end_of(request, api, run, join=join, cancels=cancels)


@router.post("/stream", response_class=Response, responses=STREAM)
async def stream(
    request: Request, api: Api, owner: Owner, asked: AloneStream, key: Key = None
) -> Response:
    """Create such a run and follow it."""
    run = await on_line(request, api, lambda at: start_one(at, owner, asked, key))
    return await followed(request, api, run, Reading(), cancels=asked.on_disconnect == "cancel")


@router.post("/batch", response_model=list[RunAnswer])
async def create_batch(api: Api, owner: Owner, asked: Batch, key: Key = None) -> Response:
    """Create such runs: all of them, or none when one cannot be."""
    return answer([run_json(run) for run in await start_alone(api, owner, asked, key)])


@router.post("/cancel", status_code=204, response_class=Response)
async def cancel_many(
    api: Api,
    owner: Owner,
    asked: RunsCancel,
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> Response:
    """Cancel those that have not ended, one after the other, newest first.

    A thread or a run that does not exist is a 404, and nothing is cancelled.
    """
    await stop_runs(
        api.rt,
        owner,
        thread_id=str(asked.thread_id) if asked.thread_id else None,
        run_ids=[str(run_id) for run_id in asked.run_ids] if asked.run_ids else None,
        status=RunStatus(asked.status) if asked.status not in (None, "all") else None,
        undo=action == "rollback",
    )
    return nothing()


@router.get("/{run_id}", response_model=RunAnswer)
async def get(run: ById) -> Response:
    return answer(run_json(run))


@router.get("/{run_id}/join", responses=FINAL | WAITING)
async def join(
    request: Request, api: Api, run: ById, cancel_on_disconnect: bool = False
) -> Response:
    """Wait for a run's final values."""
    return await end_of(request, api, run, join="join", cancels=cancel_on_disconnect)


@router.get("/{run_id}/stream", response_class=Response, responses=STREAM)
async def join_stream(
    request: Request, api: Api, run: ById, reading: From, cancel_on_disconnect: bool = False
) -> Response:
    """Follow a run from its start, or after the event that Last-Event-ID names."""
    return await followed(request, api, run, reading, cancels=cancel_on_disconnect)
