"""Every assistant as a tool of the Model Context Protocol, by its official SDK.

Streamable HTTP without sessions: any process answers any request, and a call is a run like others.
"""

import re
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from orjson import dumps

from functions.api.doors.inside import Handled, detail, inside, needs, segment
from functions.api.routing import routes_of
from functions.api.schemas.answers import PROBLEMS, WITHOUT_DOORS
from graph.runtime.models import Json

if TYPE_CHECKING:
    import httpx

router = routes_of("MCP", responses=PROBLEMS | WITHOUT_DOORS)

REFUSED: dict[int | str, dict[str, Any]] = {
    202: {"description": "A notification was taken."},
    400: {"description": "It is not JSON-RPC of a version that is spoken here."},
    406: {"description": "The client takes neither JSON nor a stream."},
    415: {"description": "It is not JSON."},
}
MOST = 1000  # tools: the oldest assistants
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
LONGEST_NAME = 128


@router.post("/mcp", responses=REFUSED)
async def mcp(request: Request) -> Response:
    """The Model Context Protocol: an assistant is a tool, a call of it a run without a thread."""
    needs("mcp")
    return Handled(Tools(inside(request)), await request.body())


class Tools:
    """An ASGI app for one request."""

    def __init__(self, api: "httpx.AsyncClient") -> None:
        self.api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from mcp.server.lowlevel import Server  # takes a second, and is optional
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        server: Any = Server("baton", on_list_tools=self.list, on_call_tool=self.call)
        manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        async with self.api, manager.run():
            await manager.handle_request(scope, receive, send)

    async def list(self, _context: Any, _params: Any) -> Any:
        """The assistants that the caller may see."""
        from mcp_types import ListToolsResult, Tool

        schemas: dict[str, Json] = {}
        tools = []
        for name, assistant in (await self._assistants()).items():
            graph_id = assistant["graph_id"]
            if graph_id not in schemas:
                schemas[graph_id] = await self._input_schema(graph_id)
            about = assistant["description"] or f"Runs the agent {assistant['name']}."
            shape = as_arguments(schemas[graph_id])
            tools.append(
                Tool(name=name, title=assistant["name"], description=about, input_schema=shape)
            )
        return ListToolsResult(tools=tools)

    async def call(self, _context: Any, params: Any) -> Any:
        """A run's final values."""
        assistant = (await self._assistants()).get(params.name)
        if assistant is None:
            raise _wrong(f"there is no tool {params.name!r}")
        given: Any = params.arguments or {}
        if not takes_object(await self._input_schema(assistant["graph_id"])):
            given = given.get("input")
        asked = {"assistant_id": assistant["assistant_id"], "input": given}
        return _result(await self.api.post("/runs/wait", json=asked))

    async def _assistants(self) -> dict[str, Json]:
        """By the names of their tools: the older of two keeps the name, the other is its id."""
        asked = {"limit": MOST, "sort_by": "created_at", "sort_order": "asc"}
        found = await self._said("POST", "/assistants/search", json=asked)
        named: dict[str, Json] = {}
        for assistant in found:
            name = NOT_IN_NAMES.sub("-", assistant["name"])[:LONGEST_NAME]
            named[assistant["assistant_id"] if name in named else name] = assistant
        return named

    async def _input_schema(self, graph_id: str) -> Json:
        schemas = await self._said("GET", f"/assistants/{segment(graph_id)}/schemas")
        return schemas["input_schema"] or {}

    async def _said(self, method: str, path: str, **more: Any) -> Any:
        answer = await self.api.request(method, path, **more)
        if answer.is_error:
            raise _wrong(detail(answer))
        return answer.json()


def takes_object(schema: Json) -> bool:
    """Whether what a graph takes can be a tool's arguments as it is."""
    return schema.get("type") == "object" or "properties" in schema


def as_arguments(schema: Json) -> Json:
    """A graph's input schema as a tool's; what is no object becomes the argument `input`."""
    if takes_object(schema):
        return {**schema, "type": "object"}
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    shape: Json = {"type": "object", "properties": {"input": inner}, "required": ["input"]}
    return {**shape, "$defs": schema["$defs"]} if "$defs" in schema else shape


def _wrong(message: str) -> Exception:
    from mcp.shared.exceptions import MCPError
    from mcp_types import INVALID_PARAMS

    return MCPError(INVALID_PARAMS, message)


def _result(answer: "httpx.Response") -> Any:
    from mcp_types import CallToolResult, TextContent

    values = {} if answer.status_code != 200 else answer.json()
    problem = _problem(answer, values)
    text = problem or dumps(values).decode()
    return CallToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content=values if isinstance(values, dict) and values else None,
        is_error=bool(problem),
    )


def _problem(answer: "httpx.Response", values: Any) -> str:
    """Why there is no final output; empty if there is."""
    if answer.status_code != 200:
        return detail(answer)
    said = values if isinstance(values, dict) else {}
    if error := said.get("__error__"):
        return f"{error['error']}: {error['message']}"
    if "__interrupt__" in said:
        return f"{answer.headers['content-location']} waits for a person's answer"
    return ""
