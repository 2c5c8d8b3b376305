"""Every assistant as an agent of the A2A protocol, by its official SDK.

A context is a thread, a task is a run; the SDK knows the protocol's versions, 1.0 and 0.3.
"""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query, Request, Response

from functions.api.access.owner import Owner
from functions.api.answers import answer
from functions.api.doors.inside import detail, inside, needs, segment
from functions.api.edge import Api
from functions.api.routing import routes_of
from functions.api.schemas.answers import PROBLEMS, WITHOUT_DOORS
from graph.errors import NotFound
from graph.runtime.models import Json

if TYPE_CHECKING:
    import httpx

router = routes_of("A2A", responses=PROBLEMS | WITHOUT_DOORS)

CARD = ".well-known/agent-card.json"
VERSIONS = ("1.0", "0.3")
MODES = ("text/plain", "application/json")


@router.post("/a2a/{assistant_id}")
async def a2a(request: Request, api: Api, owner: Owner, assistant_id: str) -> Response:
    """JSON-RPC: message/send, message/stream, tasks/get, tasks/resubscribe, tasks/cancel."""
    needs("a2a")
    from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher

    from functions.api.doors.a2a_tasks import Tasks

    async with inside(request) as client:
        assistant = await _said(client, "GET", f"/assistants/{segment(assistant_id)}")
    tasks = Tasks(api, request, assistant, owner)
    dispatcher = JsonRpcDispatcher(tasks, enable_v0_3_compat=True)
    found: Response = await dispatcher.handle_requests(request)
    return found


@router.get(f"/a2a/{{assistant_id}}/{CARD}")
async def card(request: Request, assistant_id: str) -> Response:
    """What the agent is called, does, and speaks."""
    needs("a2a")
    async with inside(request) as api:
        found = await _said(api, "GET", f"/assistants/{segment(assistant_id)}")
    return answer(_card(request, found))


@router.get(f"/{CARD}")
async def first_card(
    request: Request,
    assistant_id: Annotated[str | None, Query(description="default: the oldest")] = None,
) -> Response:
    """The card of one of the agents here, for clients that know only the server."""
    if assistant_id is not None:
        return await card(request, assistant_id)
    needs("a2a")
    oldest = {"limit": 1, "sort_by": "created_at", "sort_order": "asc"}
    async with inside(request) as api:
        found = await _said(api, "POST", "/assistants/search", json=oldest)
    if not found:
        raise NotFound("there is no agent here")
    return answer(_card(request, found[0]))


def _card(request: Request, assistant: Json) -> Json:
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict
    from a2a.types import (
        AgentCapabilities,
        AgentCard,
        AgentInterface,
        AgentSkill,
    )

    name, about = assistant["name"], assistant["description"] or f"The agent {assistant['name']}."
    url = f"{request.base_url}a2a/{assistant['assistant_id']}"
    card = AgentCard(
        name=name,
        description=about,
        version=str(assistant["version"]),
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=version)
            for version in VERSIONS
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=MODES,
        default_output_modes=MODES,
        skills=[AgentSkill(id=assistant["graph_id"], name=name, description=about, tags=["graph"])],
    )
    made: Json = agent_card_to_dict(card)
    return made


async def _said(api: "httpx.AsyncClient", method: str, path: str, **more: Any) -> Any:
    found = await api.request(method, path, **more)
    if found.is_error:
        raise NotFound(detail(found))
    return found.json()
