"""Every assistant as a tool of the Model Context Protocol, by its official SDK.

Streamable HTTP without sessions: any process answers any request, and a call is a run like others.
"""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from orjson import dumps

from functions.api.answer_schema import PROBLEMS, WITHOUT_DOORS
from functions.api.inside import Handled, detail, inside, needs
from functions.api.limits import StrictRoute
from graph.runtime.models import Json

router = APIRouter(tags=["MCP"], route_class=StrictRoute, responses=PROBLEMS | WITHOUT_DOORS)

MOST = 1000  # tools: the oldest assistants
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
LONGEST_NAME = 128


@router.post("/mcp")
async def mcp(request: Request) -> Response:
    """The Model Context Protocol: an assistant is a tool, a call of it is a run without a thread.

    Requests have no session, answers are JSON.
    """
    needs("mcp")
    return Handled(Tools(inside(request)), await request.body())


class Tools:
    """An ASGI app for one request."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from mcp.server.lowlevel import Server  # noqa: PLC0415 - takes a second, and is optional
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415

        server: Any = Server("baton", on_list_tools=self.tools, on_call_tool=self.call)
        manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        async with self.api, manager.run():
            await manager.handle_request(scope, receive, send)

    async def tools(self, context: Any, params: Any) -> Any:  # noqa: ARG002
        from mcp_types import ListToolsResult, Tool  # noqa: PLC0415

        schemas: dict[str, Json] = {}
        tools = []
        for name, assistant in (await self._named()).items():
            graph_id = assistant["graph_id"]
            if graph_id not in schemas:
                schemas[graph_id] = await self._input_schema(graph_id)
            about = assistant["description"] or f"Runs the agent {assistant['name']}."
            tools.append(
                Tool(
                    name=name,
                    title=assistant["name"],
                    description=about,
                    input_schema=schemas[graph_id],
                )
            )
        return ListToolsResult(tools=tools)

    async def call(self, context: Any, params: Any) -> Any:  # noqa: ARG002
        from mcp_types import INVALID_PARAMS  # noqa: PLC0415
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415

        assistant = (await self._named()).get(params.name)
        if assistant is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {params.name!r}")
        schema = await self._input_schema(assistant["graph_id"])
        given = params.arguments or {}
        asked = {
            "assistant_id": assistant["assistant_id"],
            "input": given[WRAPPED] if schema.get("x-wrapped") else given,
        }
        return _result(await self.api.post("/runs/wait", json=asked))
