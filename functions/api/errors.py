"""Every error as {"detail": ...} and a status; the table is the only place that knows which."""

import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.api.access.permission import NothingFound
from functions.api.answers import answer, page_headers
from graph.errors import (
    AgentError,
    BadInput,
    BadProject,
    Conflict,
    LostClaim,
    Moved,
    NotFound,
    TooMany,
    Unavailable,
)

log = logging.getLogger("baton.api")

STATUS: dict[type[AgentError], int] = {
    NotFound: 404,
    Conflict: 409,
    LostClaim: 409,  # somebody else changed the thread under an edit
    Moved: 412,
    BadInput: 422,
    TooMany: 429,
    BadProject: 500,
    Unavailable: 503,
}
RETRY = {429: {"Retry-After": "5"}, 503: {"Retry-After": "1"}}
OURS = {  # what is not the client's fault is for the log, with its names and addresses
    500: "the server's project cannot be loaded: its log says why",
    503: "a part that the server needs did not answer: try again",
}


def handle_errors(app: FastAPI) -> None:
    """Make all of the app's errors answers in the wire format's shape."""
    for kind in STATUS:
        app.add_exception_handler(kind, _of_the_engine)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(NothingFound, _of_nothing)
    app.add_middleware(LastResort)


async def _of_the_engine(request: Request, error: Exception) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    return answer({"detail": OURS.get(status, str(error))}, status, headers=RETRY.get(status))


async def _of_validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer({"detail": "; ".join(_sentence(part) for part in error.errors())}, 422)


def _sentence(part: dict[str, Any]) -> str:
    """`body.config.recursion_limit: Input should be greater than 0`."""
    where = part["loc"]
    text = str(part["msg"]).removeprefix("Value error, ")
    if part["type"] == "json_invalid":
        return f"body: it is not JSON: {part['ctx']['error']} at {where[-1]}"
    return f"{'.'.join(str(step) for step in where)}: {text}"


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code in (404, 405):
        detail = f"there is no {request.method} {request.url.path} here"
    return answer({"detail": detail}, error.status_code, headers=error.headers)


async def _of_nothing(request: Request, _error: Exception) -> Response:
    """A search whose answer is known without looking."""
    counts = request.url.path.endswith("/count")
    return answer(0) if counts else answer([], headers=page_headers(0, limit=1, offset=0))


class LastResort:
    """Logs what nobody expected, and tells the client no more than that it happened.

    A response under way is broken off instead: the client connects again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:  # the edge: whatever it is, the process goes on
            if started or scope["type"] != "http":
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            sorry = answer({"detail": "internal error: the log says more"}, 500)
            await sorry(scope, receive, send)
