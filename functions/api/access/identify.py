"""Three ways to tell who asks, without the project's help: nobody cares, API keys, a gateway."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException

from functions.api.access.callers import ANYBODY, Caller, User, caller_of
from graph.runtime.keys import Keyring
from graph.runtime.models import Json

Identify = Callable[[HTTPConnection], Awaitable[Caller]]

CHALLENGE = {"WWW-Authenticate": "Bearer"}
STREAM_EVENT = "stream.event"  # in a scope: as `aws.event`, where lines stay open


async def anybody(_request: HTTPConnection) -> Caller:
    """Everybody is the one owner, for whom something in front has let in."""
    return ANYBODY


def bearer(request: HTTPConnection) -> str:
    """The token that a request brings, empty if it brings none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class ByKey:
    """`Authorization: Bearer baton_...`, or `x-api-key`, as the SDK sends it.

    Behind a gateway that wants a key of its own, `x-api-key` holds that one: the token goes first.
    """

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    async def __call__(self, request: HTTPConnection) -> Caller:
        text = bearer(request) or request.headers.get("x-api-key", "")
        if not text:
            raise HTTPException(401, "an API key is missing: send it as x-api-key", CHALLENGE)
        key = await self._ring.find(text)
        if key is None:
            raise HTTPException(401, "the API key is unknown or has expired", CHALLENGE)
        return Caller(key.owner, User({"identity": key.owner, "permissions": []}))


class ByClaims:
    """What API Gateway's authorizer said of the token it verified.

    It is read from the event that invoked the function, never from anything a client sends.
    """

    def __init__(self, claim: str = "") -> None:
        self._claim = claim

    async def __call__(self, request: HTTPConnection) -> Caller:
        claims = claims_of(event_of(request.scope))
        identity = claims.get("sub") or claims.get("principalId")
        if not identity:
            raise HTTPException(401, "no authorizer in front of this API says who asks", CHALLENGE)
        scopes = str(claims.get("scope") or "").split()
        user = User({**claims, "identity": str(identity), "permissions": scopes})
        return caller_of(user, self._claim)


def event_of(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """What API Gateway told of this request; nothing where there is none in front."""
    found: Mapping[str, Any] = scope.get("aws.event") or scope.get(STREAM_EVENT) or {}
    return found


def claims_of(event: Mapping[str, Any]) -> Json:
    """The claims in an event of a REST, HTTP or WebSocket API; none without an authorizer.

    JWT and Cognito authorizers nest them, a Lambda authorizer's context lies flat in a REST API.
    """
    said = (event.get("requestContext") or {}).get("authorizer") or {}
    nested = (said.get("jwt") or {}).get("claims") or said.get("claims") or said.get("lambda")
    return dict(nested or said)
