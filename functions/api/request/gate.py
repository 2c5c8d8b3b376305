"""The gate every request passes: who asks, and whether it is their turn."""

import logging
from collections.abc import Callable

from fastapi.requests import HTTPConnection, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.api.access.rules import OPEN
from functions.api.answers import answer
from functions.api.edge import Edge
from graph.errors import AgentError, BadProject

log = logging.getLogger("baton.auth")


class Gate:
    """Puts the caller into the request's state, or answers instead of the app.

    Whatever lies behind, it asks for a caller: a new route is closed until rules.py opens it.
    """

    def __init__(self, app: ASGIApp, edge: Callable[[], Edge]) -> None:
        self.app = app
        self.edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive) if scope["type"] == "http" else HTTPConnection(scope)
        try:
            edge = self.edge()
            caller = await edge.identify(request)
            if edge.quotas is not None:
                await edge.quotas.take_turn(caller.owner)
        except HTTPException as error:
            await _refuse(error, scope, receive, send)
            return
        except AgentError as error:
            await _refuse(_of_the_engine(error), scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "caller": caller}
        await self.app(scope, _again(request, receive), send)


def _of_the_engine(error: AgentError) -> HTTPException:
    log.error("nobody can be let in: %s", error)
    if isinstance(error, BadProject):
        return HTTPException(500, "the server cannot tell who asks: its log says why")
    return HTTPException(503, "the server cannot tell who asks: try again", {"Retry-After": "1"})


def _again(request: HTTPConnection, receive: Receive) -> Receive:
    """Hands out the body once more if it was read to tell who asks."""
    body = getattr(request, "_body", None)
    if body is None:
        return receive
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return parts.pop() if parts else await receive()

    return replayed


async def _refuse(error: HTTPException, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(error.detail)[:100]})
        return
    refusal = answer({"detail": error.detail}, error.status_code, headers=error.headers)
    await refusal(scope, receive, send)
