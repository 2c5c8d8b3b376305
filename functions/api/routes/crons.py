"""Crons: made, found, changed, deleted; the sweep fires them."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from fastapi import Response
from uuid_utils.compat import uuid7

from functions.api.access.owner import Owner
from functions.api.answers import answer, nothing, page_headers, selected
from functions.api.edge import Api, Edge
from functions.api.routing import routes_of
from functions.api.schemas.answers import list_of, partial
from functions.api.schemas.crons import (
    CronAnswer,
    CronCreate,
    CronFields,
    CronFilter,
    CronSearch,
    CronUpdate,
    ThreadCronCreate,
    body_of,
    fields_of,
    said,
)
from graph.errors import NotFound
from graph.runtime.assistants import find_assistant
from graph.runtime.crons import create_cron, update_cron
from graph.runtime.models import Cron, CronQuery, Json

router = routes_of("Crons")

SHOWN = tuple(CronAnswer.model_fields)


def cron_json(cron: Cron) -> Json:
    return {name: getattr(cron, name) for name in SHOWN if name != "user_id"} | {
        "user_id": cron.owner
    }


@router.post("/runs/crons", response_model=CronAnswer)
async def create(api: Api, owner: Owner, asked: CronCreate) -> Response:
    """Make a run on a new thread whenever it is due."""
    cron = _new(owner, asked)
    cron = replace(cron, on_run_completed=asked.on_run_completed)
    return answer(cron_json(await create_cron(api.rt, cron)))


@router.post("/threads/{thread_id}/runs/crons", response_model=CronAnswer)
async def create_for_thread(
    api: Api, owner: Owner, thread_id: UUID, asked: ThreadCronCreate
) -> Response:
    """Make a run on this thread whenever it is due; the cron goes with the thread."""
    cron = replace(_new(owner, asked), thread_id=str(thread_id))
    return answer(cron_json(await create_cron(api.rt, cron)))


@router.post("/runs/crons/search", response_model=list_of(partial(CronAnswer)))
async def search(api: Api, owner: Owner, asked: CronSearch) -> Response:
    query = replace(await _query(api, owner, asked), **asked.page)
    page, total = await api.rt.store.search_crons(owner, query)
    headers = page_headers(total, limit=asked.limit, offset=asked.offset)
    return answer([selected(cron_json(c), asked.select) for c in page], headers=headers)


@router.post("/runs/crons/count", response_model=int)
async def count(api: Api, owner: Owner, asked: CronFilter) -> Response:
    query = await _query(api, owner, asked)
    _, total = await api.rt.store.search_crons(owner, replace(query, limit=1))
    return answer(total)


@router.get("/runs/crons/{cron_id}", response_model=CronAnswer)
async def get(api: Api, owner: Owner, cron_id: UUID) -> Response:
    return answer(cron_json(await api.rt.store.get_cron(str(cron_id), owner)))


@router.patch("/runs/crons/{cron_id}", response_model=CronAnswer)
async def update(api: Api, owner: Owner, cron_id: UUID, asked: CronUpdate) -> Response:
    """Change what is given; runs that were made already stay as they are."""
    completed = asked.on_run_completed

    def change(cron: Cron) -> Cron:
        kind = ThreadCronCreate if cron.thread_id else CronCreate
        changed = replace(cron, **fields_of({**body_of(cron), **said(asked)}, kind))
        return replace(changed, on_run_completed=completed or cron.on_run_completed)

    return answer(cron_json(await update_cron(api.rt, str(cron_id), owner, change)))


@router.delete("/runs/crons/{cron_id}", status_code=204, response_class=Response)
async def delete(api: Api, owner: Owner, cron_id: UUID) -> Response:
    """Runs that were made already go on."""
    await api.rt.store.delete_cron(str(cron_id), owner)
    return nothing()


def _new(owner: str, asked: CronFields) -> Cron:
    now = datetime.now(UTC)
    return Cron(
        cron_id=str(uuid7()),
        owner=owner,
        assistant_id=asked.assistant_id,
        created_at=now,
        updated_at=now,
        **fields_of(said(asked), type(asked)),
    )


async def _query(api: Edge, owner: str, asked: CronFilter) -> CronQuery:
    assistant_id = asked.assistant_id
    if assistant_id is not None:
        with suppress(NotFound):  # it may be gone, its crons are not
            assistant_id = (await find_assistant(api.rt, assistant_id, owner)).assistant_id
    thread_id = str(asked.thread_id) if asked.thread_id else None
    return CronQuery(assistant_id, thread_id, asked.enabled, asked.metadata or {})
