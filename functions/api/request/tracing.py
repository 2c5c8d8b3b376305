"""X-Request-ID and Server-Timing on every answer."""

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.api.access.identify import event_of
from graph.timing import DATABASE, Stopwatch

log = logging.getLogger("baton.api")

SANE = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


class Tracing:
    """Names each request, as the client or the gateway did if they did, and times it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        started, database = time.perf_counter(), Stopwatch()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                took = time.perf_counter() - started
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["Server-Timing"] = (
                    f"app;dur={took * 1000:.1f}, db;dur={database.seconds * 1000:.1f}"
                )
                _log(scope, request_id, message["status"], took)
            await send(message)

        token = DATABASE.set(database)
        try:
            await self.app(scope, receive, marked)
        finally:
            DATABASE.reset(token)


def _request_id(scope: Scope) -> str:
    sent = Headers(scope=scope).get("x-request-id", "")
    if SANE.fullmatch(sent):
        return sent
    context = event_of(scope).get("requestContext") or {}
    return str(context.get("requestId") or uuid4())


def _log(scope: Scope, request_id: str, status: int, took: float) -> None:
    facts = {"request_id": request_id, "status": status, "ms": round(took * 1000, 1)}
    level = logging.WARNING if status >= 500 else logging.DEBUG
    log.log(level, "%s %s: %s", scope["method"], scope["path"], status, extra=facts)
