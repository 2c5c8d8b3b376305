"""What a request's body may be: not larger than the limit, and JSON that Postgres can hold."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.api.answers import answer

DEEPEST = 100  # levels; whatever holds the value must be able to say it again, and adds its own
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class BodyLimit:
    """413 for a body that is too large, before it is read if it says so itself.

    Starlette's own would do, but answers in plain text.
    """

    def __init__(self, app: ASGIApp, max_bytes: Callable[[], int]) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and self._exceeded(int(declared)):
            await answer({"detail": self._reason()}, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if self._exceeded(received):
                raise HTTPException(413, self._reason())
            return message

        await self.app(scope, counted, send)

    def _exceeded(self, size: int) -> bool:
        return size > 0 and size > self.max_bytes()

    def _reason(self) -> str:
        return f"the body is larger than {self.max_bytes()} bytes"


class StrictJson(Request):
    """A request whose JSON has no NaN, lone surrogate or NUL: no database column would hold it.

    Nor is it nested without end.
    """

    _value: Any = None

    async def json(self) -> Any:
        """The same object each time: what the permission changes in it, the route sees."""
        if self._value is None:
            body = await self.body()
            value = orjson.loads(body)
            if b"\\u0000" in body and NUL.search(body):
                raise HTTPException(422, "body: a text contains the character NUL")
            if body.count(b"[") + body.count(b"{") > DEEPEST and _is_too_deep(value):
                raise HTTPException(422, f"body: it is nested more than {DEEPEST} levels deep")
            self._value = value
        return self._value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [each for part in inner for each in part if isinstance(each, dict | list)]
        if not level:
            return False
    return True


class StrictRoute(APIRoute):
    """A route that reads its body as StrictJson."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(StrictJson(request.scope, request.receive))

        return strictly
