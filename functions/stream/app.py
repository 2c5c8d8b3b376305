"""API Gateway -> Lambda Web Adapter -> the API, on lines that stay open."""

from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from functions import cold_start
from functions.api.access.identify import STREAM_EVENT
from functions.api.app import app as api

CONTEXT = "x-amzn-request-context"


class Adapted:
    """An app that is told what invoked the function.

    The adapter puts API Gateway's context into a header, in place of any that a client sent. Nobody
    else reaches this server: anywhere but behind the adapter the header must not be believed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = Headers(scope=scope).get(CONTEXT)  # none when it asks whether we are ready
        context: dict[str, Any] | None = orjson.loads(said) if said else None
        await self._app({**scope, STREAM_EVENT: {"requestContext": context}}, receive, send)


app = Adapted(api)
cold_start.imported()
