"""Runs of a thread: created, awaited, looked at, cancelled, deleted."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel

from functions.api.access.owner import Owner
from functions.api.answers import answer, nothing, run_json, selected
from functions.api.edge import Api
from functions.api.following.accepting import Terms, start
from functions.api.following.on_line import if_followed, on_line
from functions.api.following.waiting import end_of, where
from functions.api.routing import routes_of
from functions.api.schemas.answers import PROBLEMS, Problem, list_of, partial
from functions.api.schemas.fields import Limit, Offset
from functions.api.schemas.runs import RunAnswer, RunCreate, RunWait
from graph.runtime.models import RunStatus
from graph.runtime.runs import stop_run

Described = dict[int | str, dict[str, Any]]

ACCEPTING: Described = PROBLEMS | {
    412: {"model": Problem, "description": "The thread has moved on from If-Match's checkpoint."}
}
FINAL: Described = {
    200: {
        "description": "The final values, with `__interrupt__` if the run waits for an answer; "
        "`__error__` alone if it failed. Line breaks may come first.",
        "content": {"application/json": {"schema": {}}},
    }
}
WAITING: Described = FINAL | {
    303: {"model": Problem, "description": "It goes on: wait on at the Location."}
}

router = routes_of("Runs", prefix="/threads/{thread_id}/runs", responses=ACCEPTING)

Field = Literal[
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
    "error",
    "usage",
]


class Page(BaseModel):
    """Which of a thread's runs to list."""

    limit: Limit = 10
    offset: Offset = 0
    status: RunStatus | None = None
    select: list[Field] | None = None


@router.post("", response_model=RunAnswer)
async def create(
    request: Request,
    api: Api,
    owner: Owner,
    thread_id: UUID,
    asked: RunCreate,
    terms: Terms,
) -> Response:
    """Create a run; on a busy thread `multitask_strategy` says what becomes of the others."""
    given = (owner, thread_id, asked, terms.key)
    run = await if_followed(request, api, lambda at: start(at, *given, if_match=terms.if_match))
    return answer(run_json(run), headers=where(run))


@router.post("/wait", responses=WAITING)
async def wait(
    request: Request,
    api: Api,
    owner: Owner,
    thread_id: UUID,
    asked: RunWait,
    terms: Terms,
) -> Response:
    """Create a run and wait for its final values."""
    given = (owner, thread_id, asked, terms.key)
    run = await on_line(request, api, lambda at: start(at, *given, if_match=terms.if_match))
    cancels = asked.on_disconnect == "cancel"
    return await end_of(request, api, run, join=f"{run.run_id}/join", cancels=cancels)


@router.get("", response_model=list_of(partial(RunAnswer)))
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


@router.get("/{run_id}", response_model=RunAnswer)
async def get(api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Response:
    return answer(run_json(await api.rt.store.get_run(str(run_id), str(thread_id), owner)))


@router.get("/{run_id}/join", responses=WAITING)
async def join(
    request: Request,
    api: Api,
    owner: Owner,
    thread_id: UUID,
    run_id: UUID,
    cancel_on_disconnect: bool = False,
) -> Response:
    """Wait for a run's final values."""
    run = await api.rt.store.get_run(str(run_id), str(thread_id), owner)
    return await end_of(request, api, run, join="join", cancels=cancel_on_disconnect)


@router.post(
    "/{run_id}/cancel",
    status_code=202,
    response_class=Response,
    responses={204: {"description": "With `wait`."}},
)
async def cancel(
    api: Api,
    owner: Owner,
    thread_id: UUID,
    run_id: UUID,
    wait: bool = False,
    action: Literal["interrupt", "rollback"] = "interrupt",
) -> Response:
    """End a run where it is, or undo it: the thread is as it was before the run began.

    It has ended when this answers: there is nothing to wait for.
    """
    await stop_run(api.rt, str(run_id), str(thread_id), owner, undo=action == "rollback")
    return nothing(204 if wait else 202)


@router.delete("/{run_id}", status_code=204, response_class=Response)
async def delete(api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Response:
    await api.rt.store.delete_run(str(run_id), str(thread_id), owner)
    return nothing()
