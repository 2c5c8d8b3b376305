"""Assistants: those of the project's graphs, and those that clients make."""

from typing import Annotated
from uuid import uuid4

from fastapi import Query, Response

from functions.api.access.owner import Owner
from functions.api.answers import answer, nothing, page_headers, selected
from functions.api.edge import Api
from functions.api.routing import routes_of
from functions.api.schemas.answers import list_of, partial
from functions.api.schemas.assistants import (
    AssistantAnswer,
    AssistantCreate,
    AssistantFilter,
    AssistantSearch,
    AssistantUpdate,
    VersionChoice,
    VersionSearch,
)
from graph.runtime import assistants
from graph.runtime.models import Assistant, Json

router = routes_of("Assistants")


@router.post("/assistants", response_model=AssistantAnswer)
async def create(api: Api, owner: Owner, asked: AssistantCreate) -> Response:
    """Version 1 of a graph with a configuration of its own."""
    assistant_id = str(asked.assistant_id or uuid4())
    new = assistants.new_assistant(assistant_id, owner, asked.change)
    made = await assistants.create_assistant(api.rt, new, if_exists=asked.if_exists)
    return answer(assistant_json(made))


@router.post("/assistants/search", response_model=list_of(partial(AssistantAnswer)))
async def search(api: Api, owner: Owner, asked: AssistantSearch) -> Response:
    query = asked.query(**asked.page)
    page, total = await assistants.search_assistants(api.rt, owner, query)
    headers = page_headers(total, limit=asked.limit, offset=asked.offset)
    found = [selected(assistant_json(item), asked.select) for item in page]
    return answer(found, headers=headers)


@router.post("/assistants/count", response_model=int)
async def count(api: Api, owner: Owner, asked: AssistantFilter) -> Response:
    _, total = await assistants.search_assistants(api.rt, owner, asked.query(limit=1))
    return answer(total)


@router.get("/assistants/{assistant_id}", response_model=AssistantAnswer)
async def get(api: Api, owner: Owner, assistant_id: str) -> Response:
    """By its id, or by the name of its graph for a graph's own."""
    return answer(assistant_json(await assistants.find_assistant(api.rt, assistant_id, owner)))


@router.patch("/assistants/{assistant_id}", response_model=AssistantAnswer)
async def update(api: Api, owner: Owner, assistant_id: str, asked: AssistantUpdate) -> Response:
    """Make a new version: metadata is merged, whatever else is said replaces what was."""
    made = await assistants.update_assistant(api.rt, assistant_id, owner, asked.change)
    return answer(assistant_json(made))


@router.delete("/assistants/{assistant_id}", status_code=204, response_class=Response)
async def delete(
    api: Api,
    owner: Owner,
    assistant_id: str,
    delete_threads: Annotated[
        bool, Query(description="and the threads whose metadata names it")
    ] = False,
) -> Response:
    """Drop it with its versions; runs that were accepted go on."""
    await assistants.delete_assistant(api.rt, assistant_id, owner, with_threads=delete_threads)
    return nothing()


@router.post("/assistants/{assistant_id}/versions", response_model=list[AssistantAnswer])
async def versions(api: Api, owner: Owner, assistant_id: str, asked: VersionSearch) -> Response:
    """Newest first."""
    found = await assistants.list_versions(
        api.rt,
        assistant_id,
        owner,
        AssistantFilter(metadata=asked.metadata).query(limit=asked.limit, offset=asked.offset),
    )
    return answer([assistant_json(version) for version in found])


@router.post("/assistants/{assistant_id}/latest", response_model=AssistantAnswer)
async def set_latest(api: Api, owner: Owner, assistant_id: str, asked: VersionChoice) -> Response:
    """Put a version in force again."""
    chosen = await assistants.set_latest(api.rt, assistant_id, owner, asked.version)
    return answer(assistant_json(chosen))


def assistant_json(assistant: Assistant) -> Json:
    return {name: getattr(assistant, name) for name in AssistantAnswer.model_fields}
