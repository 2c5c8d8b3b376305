"""The API asked from within, by doors with another protocol: with all of its rules."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import Response
from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.api.access.identify import STREAM_EVENT
from functions.api.following.on_line import FOLLOWED

if TYPE_CHECKING:
    import httpx

# Headers about a request itself; by any of the others somebody may tell who asks.
ITS_OWN = (
    *("host", "connection", "content-length", "content-type", "content-encoding", "accept"),
    *("accept-encoding", "transfer-encoding", "origin", "prefer", "if-match", "last-event-id"),
    "idempotency-key",
)
GATEWAYS = ("aws.event", "aws.context", STREAM_EVENT)


def inside(request: HTTPConnection, *, followed: bool = False) -> "httpx.AsyncClient":
    """A client of the API itself, which is to it whoever the request comes from.

    What it starts is `followed` if the client reads of it on another line.
    """
    import httpx

    app: ASGIApp = request.app
    more = {key: request.scope[key] for key in GATEWAYS if key in request.scope}
    more[FOLLOWED] = followed

    async def ours(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, **more}, receive, send)

    return httpx.AsyncClient(
        transport=httpx.ASGITransport(ours, raise_app_exceptions=False),
        base_url="http://inside",
        headers={name: value for name, value in request.headers.items() if name not in ITS_OWN},
        timeout=None,  # an answer takes as long as a run
    )


def segment(text: str) -> str:
    """A client's text as one part of a path, whatever is in it."""
    return quote(text, safe="")


def needs(package: str) -> None:
    """Raises 501, saying what to install, where an optional package is not."""
    if find_spec(package) is None:
        raise HTTPException(
            501, f"this server was installed without {package}: install baton[doors]"
        )


class Handled(Response):
    """An answer that another ASGI app gives to a request whose body has been read."""

    def __init__(self, app: ASGIApp, body: bytes) -> None:
        super().__init__()
        self._app, self._given = app, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: list[Message] = [{"type": "http.request", "body": self._given, "more_body": False}]

        async def replayed() -> Message:
            return parts.pop() if parts else await receive()

        await self._app(scope, replayed, send)


def detail(answer: "httpx.Response") -> str:
    """What a refusal says."""
    said: Any = answer.json() if answer.content else {}
    return str(said.get("detail") or f"status {answer.status_code}")
