"""Assistants, as far as langgraph.json makes them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fastapi import APIRouter, Response

from functions.api.answers import answer, page_headers, selected
from functions.api.edge import Api
from functions.api.limits import StrictRoute
from functions.api.owner import Owner
from functions.api.schemas import AssistantSearch
from graph.runtime.assistants import METADATA, Assistant, assistants, find_assistant
from graph.runtime.models import Json

router = APIRouter(tags=["Assistants"], route_class=StrictRoute)

EVER = datetime.fromtimestamp(0, UTC)  # a project's graphs have no moment of making


def assistant_json(assistant: Assistant) -> Json:
    return {
        "assistant_id": assistant.assistant_id,
        "graph_id": assistant.graph_id,
        "name": assistant.graph_id,
        "description": None,
        "config": {},
        "context": {},
        "metadata": METADATA,
        "version": 1,
        "created_at": EVER,
        "updated_at": EVER,
    }


@router.post("/assistants/search")
async def search(api: Api, owner: Owner, query: AssistantSearch) -> Response:  # noqa: ARG001
    found = _found(api.rt.graphs.names(), query)
    page = found[query.offset : query.offset + query.limit]
    headers = page_headers(len(found), limit=query.limit, offset=query.offset)
    return answer([selected(item, query.select) for item in page], headers=headers)


@router.post("/assistants/count")
async def count(api: Api, owner: Owner, query: AssistantSearch) -> Response:  # noqa: ARG001
    return answer(len(_found(api.rt.graphs.names(), query)))


@router.get("/assistants/{assistant_id}")
async def get(api: Api, owner: Owner, assistant_id: str) -> Response:  # noqa: ARG001
    return answer(assistant_json(find_assistant(api.rt.graphs.names(), assistant_id)))


@router.get("/assistants/{assistant_id}/graph")
async def get_graph(
    api: Api,
    owner: Owner,  # noqa: ARG001
    assistant_id: str,
    xray: bool | int = False,
) -> Response:
    """The graph as nodes and edges; `xray` opens nested graphs, to that depth."""
    assistant = find_assistant(api.rt.graphs.names(), assistant_id)
    graph = await api.rt.graphs.load(assistant.graph_id, {})
    drawn = await graph.aget_graph(xray=xray)
    return answer(drawn.to_json())


def _found(names: Sequence[str], query: AssistantSearch) -> list[Json]:
    """Those that match, in the order asked for or else the project's."""
    found = [
        item
        for item in map(assistant_json, assistants(names))
        if query.graph_id in (None, item["graph_id"])
        and (query.name or "").lower() in item["name"].lower()
        and all(key in METADATA and METADATA[key] == v for key, v in query.metadata.items())
    ]
    if query.sort_by:
        found.sort(key=lambda item: str(item[str(query.sort_by)]))
    return found[::-1] if query.sort_order == "desc" else found
