"""Which browsers' pages may call, and what of an answer they may read."""

from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EXPOSED = (
    "Location",
    "Content-Location",
    "X-Pagination-Total",
    "X-Pagination-Next",
    "X-Request-ID",
    "Server-Timing",
    "Retry-After",
    "ETag",
)


class Cors:
    """Starlette's, with the origins that are known only when the first page asks."""

    def __init__(self, app: ASGIApp, origins: Callable[[], Sequence[str]]) -> None:
        self.app = app
        self.origins = origins
        self._made: CORSMiddleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "origin" not in Headers(scope=scope):
            await self.app(scope, receive, send)
            return
        if self._made is None:
            self._made = CORSMiddleware(
                self.app,
                allow_origins=self.origins(),
                allow_methods=METHODS,
                allow_headers=["*"],  # those that the preflight asks for
                allow_private_network=True,  # a hosted Studio and a server on this machine
                expose_headers=EXPOSED,
            )
        await (self._made if self.origins() else self.app)(scope, receive, send)
