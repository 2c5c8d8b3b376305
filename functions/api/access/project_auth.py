"""The `auth` of langgraph.json: LangGraph's `Auth` handlers, as users write them."""

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi.requests import HTTPConnection, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from functions.api.access.callers import Caller, User, caller_of, user_of
from functions.api.access.filters import containment
from functions.api.access.rules import path_params
from graph.errors import BadProject
from graph.runtime.models import Json

log = logging.getLogger("baton.auth")


class Headers(Mapping[str | bytes, str | bytes]):
    """Bytes for a name in bytes, text for a text: handlers are written both ways."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = {name.lower(): value for name, value in raw}

    def __getitem__(self, name: str | bytes) -> str | bytes:
        if isinstance(name, bytes):
            return self._raw[name.lower()]
        return self._raw[name.lower().encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


async def _body(request: HTTPConnection) -> Any:
    if not isinstance(request, Request) or not await request.body():
        return None
    try:
        return await request.json()
    except ValueError:
        return None  # the route says what is wrong with it


GIVEN: dict[str, Callable[[HTTPConnection], Any]] = {
    "request": lambda request: request,
    "headers": lambda request: Headers(request.scope["headers"]),
    "authorization": lambda request: request.headers.get("authorization"),
    "method": lambda request: request.scope.get("method", "GET"),
    "path": lambda request: request.scope["path"],
    "path_params": lambda request: path_params(request.scope["path"]),
    "query_params": lambda request: dict(request.query_params),
    "body": _body,
    "scope": lambda request: request.scope,
    "scopes": lambda _: [],  # nobody has been given any yet
}


class ProjectAuth:
    """Asks the project's handlers; raises HTTPException as they do, BadProject if they are broken.

    The module is loaded by the first request: one that cannot be loaded lets nobody in.
    """

    def __init__(self, load: Callable[[], Any], *, claim: str = "") -> None:
        self._load = load
        self._loaded: Any = None
        self._claim = claim

    async def identify(self, request: HTTPConnection) -> Caller:
        handler = (await self._auth())._authenticate_handler
        if handler is None:
            raise BadProject("the project's auth has no @auth.authenticate handler")
        user = user_of(await _asked(handler, await _arguments(handler, request)))
        if not user.is_authenticated:
            raise HTTPException(401, "not authenticated")
        return caller_of(user, self._claim)

    async def permit(self, user: User, resource: str, action: str, value: Json) -> Json:
        """What metadata must contain for this user, nothing if that is left open; raises 403.

        The handler may change the value.
        """
        handler = _handler(await self._auth(), resource, action)
        if handler is None:
            return {}
        from langgraph_sdk import Auth  # only for projects that have an auth

        context = Auth.types.AuthContext(
            permissions=user.permissions,
            user=user,
            resource=resource,  # type: ignore[arg-type]  # one of its Literal, by the route
            action=action,  # type: ignore[arg-type]  # the same
        )
        found = await _asked(handler, {"ctx": context, "value": value}, refusal=403)
        if found is None or found is True:
            return {}
        if found is False:
            raise HTTPException(403, f"you may not {action} {resource}")
        if isinstance(found, Mapping):
            return containment(found)
        raise BadProject(f"the auth handler of {resource}.{action} returned {found!r}")

    async def _auth(self) -> Any:
        if self._loaded is None:
            self._loaded = await run_in_threadpool(self._load)
        return self._loaded


def _handler(auth: Any, resource: str, action: str) -> Any:
    """The most specific one."""
    for key in ((resource, action), (resource, "*"), ("*", action)):
        if key in auth._handlers:
            return auth._handlers[key][-1]
    return auth._global_handlers[-1] if auth._global_handlers else None


async def _arguments(handler: Any, request: HTTPConnection) -> dict[str, Any]:
    """What the handler asks for by its parameters' names."""
    given = {}
    for name, parameter in inspect.signature(handler).parameters.items():
        if name in GIVEN:
            found = GIVEN[name](request)
            given[name] = await found if inspect.isawaitable(found) else found
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            raise BadProject(f"authenticate wants {name!r}: it can be given {', '.join(GIVEN)}")
    return given


async def _asked(handler: Any, given: dict[str, Any], *, refusal: int = 401) -> Any:
    """What the handler returns; its HTTPException or failed assertion is a refusal."""
    from langgraph_sdk.auth.exceptions import HTTPException as Refused

    try:
        if inspect.iscoroutinefunction(handler):
            return await handler(**given)
        found = await run_in_threadpool(handler, **given)
        return await found if inspect.isawaitable(found) else found
    except Refused as error:
        raise HTTPException(error.status_code, error.detail, error.headers) from error
    except AssertionError as error:
        raise HTTPException(refusal, str(error) or "refused") from error
