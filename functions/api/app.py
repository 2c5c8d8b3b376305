"""The API: one ASGI app, for uvicorn and for Lambda."""

from collections.abc import Callable

from fastapi import FastAPI

from functions.api.access.security import describe_security
from functions.api.doors import a2a, commands, mcp, sockets
from functions.api.edge import Edge, wired
from functions.api.errors import handle_errors
from functions.api.request.cors import Cors
from functions.api.request.gate import Gate
from functions.api.request.limits import BodyLimit
from functions.api.request.tracing import Tracing
from functions.api.routes import (
    assistants,
    blueprints,
    crons,
    meta,
    metrics,
    runs,
    state,
    stateless,
    store,
    streams,
    thread_streams,
    threads,
    webhooks,
    welcome,
)


def create_app(edge: Callable[[], Edge] = wired) -> FastAPI:
    """The app over an engine, which is asked for when the first request needs it."""
    app = FastAPI(
        title="Baton",
        description="The Agent Server API.",
        redirect_slashes=False,
    )
    app.state.edge = edge
    app.add_middleware(Gate, edge=edge)
    app.add_middleware(BodyLimit, max_bytes=lambda: edge().max_body)
    handle_errors(app)
    app.add_middleware(Cors, origins=lambda: edge().origins)
    app.add_middleware(Tracing)  # the last one added is the first to see a request
    for part in (
        meta,
        assistants,
        blueprints,
        threads,
        state,
        streams,
        thread_streams,
        commands,
        crons,
        store,
        webhooks,
        runs,
        stateless,
        mcp,
        a2a,
        metrics,
        welcome,
    ):
        app.router.routes.extend(part.router.routes)
    app.router.routes.append(sockets.route)
    describe_security(app, lambda: edge().security)
    return app


app = create_app()
