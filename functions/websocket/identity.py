"""Who connects, and who a connection's frames are from after that."""

from typing import Any

from fastapi.requests import HTTPConnection

from functions.api.access.callers import Caller, user_of
from functions.api.edge import Edge
from graph.runtime.models import Connected

Json = dict[str, Any]
SUBPROTOCOL = "baton"
CALLER = "baton.caller"  # where a frame's request carries it


def subprotocols(event: Json) -> list[str]:
    """What a browser, which cannot set headers, offers: `new WebSocket(url, ["baton", key])`."""
    offered = _headers(event).get("sec-websocket-protocol", "")
    return [name.strip() for name in offered.split(",") if name.strip()]


async def who_connects(event: Json, edge: Edge) -> Caller:
    """As for a request of the API with these headers; raises what refuses one."""
    headers = _headers(event)
    match subprotocols(event):
        case [protocol, key] if protocol == SUBPROTOCOL:
            headers.setdefault("x-api-key", key)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "aws.event": event,
    }
    caller = await edge.identify(HTTPConnection(scope))
    if edge.quotas is not None:
        await edge.quotas.take_turn(caller.owner)
    return caller


def to_keep(caller: Caller) -> Connected:
    """What is known of a caller without its credentials, which are kept nowhere."""
    return Connected(caller.owner, caller.user.to_dict() if caller.user else None)


def kept(connected: Connected) -> Caller:
    return Caller(connected.owner, user_of(connected.user) if connected.user else None)


async def of_the_connection(request: HTTPConnection) -> Caller:
    """How the API tells who a frame's request is from."""
    caller: Caller = request.scope[CALLER]
    return caller


def _headers(event: Json) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}
