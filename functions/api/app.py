"""The API: one ASGI app, for uvicorn and for Lambda."""

from collections.abc import Callable

from fastapi import FastAPI

from functions.api import assistants, meta, runs, state, streams, threads
from functions.api.edge import Edge, wired
from functions.api.errors import handle_errors
from functions.api.limits import BodyLimit


def create_app(edge: Callable[[], Edge] = wired) -> FastAPI:
    """The app over an engine, which is asked for when the first request needs it."""
    app = FastAPI(title="Baton", description="The Agent Server API.", redirect_slashes=False)
    app.state.edge = edge
    app.add_middleware(BodyLimit, max_bytes=lambda: edge().max_body)
    handle_errors(app)
    for part in (meta, assistants, threads, state, streams, runs):
        app.include_router(part.router)
    return app


app = create_app()
