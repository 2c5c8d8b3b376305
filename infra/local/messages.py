"""The offline model server: Anthropic's Messages API on a local socket, answered extractively.

A request with the header `x-fail: 429` (and `x-fail-retry-after: 3`) gets that error.
"""

import asyncio
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import uuid4

import uvicorn
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from infra.local.message_batches import MessageBatches
from infra.local.message_format import (
    Call,
    Prompt,
    answer,
    error_body,
    event,
    events,
    misused_tools,
)

Json = dict[str, Any]
Asked = TypeVar("Asked", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error to answer with instead of a message, or to break a stream with."""

    status: int
    retry_after: float | None = None
    mid_stream: bool = False

    def response(self, message: str = "on demand") -> Response:
        wait = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        return JSONResponse(error_body(self.status, message), self.status, headers=wait)


class MessagesServer:
    """The server; `counts` has requests by path, `received` the last bodies, for tests.

    Each message takes it `latency` seconds, as a model takes some.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, latency: float = 0.0) -> None:
        self.latency = latency
        self.counts: Counter[str] = Counter()
        self.received: deque[Json] = deque(maxlen=100)
        self.batches = MessageBatches(self)
        self._faults: deque[Fault] = deque()
        self._address = (host, port)

    def fail_next(
        self,
        status: int,
        *,
        times: int = 1,
        retry_after: float | None = None,
        mid_stream: bool = False,
    ) -> None:
        """Answer the next `times` messages with an error, or break their streams with it."""
        self._faults.extend([Fault(status, retry_after, mid_stream)] * times)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._socket.getsockname()
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._socket = socket.create_server(self._address)
        # asyncio does so for sockets of its own: else a text waits 40 ms for the one before it.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = _Server(
            uvicorn.Config(
                self._app(), log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
        )
        # The socket listens already: requests wait in its backlog until the server is up.
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._task

    def _app(self) -> ASGIApp:
        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count_tokens, methods=["POST"]),
                *self.batches.routes(),
            ],
            exception_handlers={HTTPException: _refuse},
        )

    async def _messages(self, request: Request) -> Response:
        call = await self.parse(request, Call)
        await asyncio.sleep(self.latency)
        fault = self.next_fault(request)
        if fault and not (fault.mid_stream and call.stream):
            return fault.response()
        message = self.answer(call)
        if call.stream:
            return StreamingResponse(_stream(message, fault), media_type="text/event-stream")
        return JSONResponse(message, headers={"request-id": f"req_{uuid4().hex}"})

    async def _count_tokens(self, request: Request) -> Response:
        prompt = await self.parse(request, Prompt)
        return JSONResponse({"input_tokens": prompt.tokens()})

    def answer(self, call: Call) -> Json:
        """The message that answers a call."""
        return answer(call)

    def next_fault(self, request: Request) -> Fault | None:
        """What is to go wrong now."""
        return _asked_fault(request) or (self._faults.popleft() if self._faults else None)

    async def parse(self, request: Request, kind: type[Asked]) -> Asked:
        """The body; raises what is answered to one that is wrong."""
        self.counts[request.url.path] += 1
        if not {"x-api-key", "authorization"} & set(request.headers):
            raise HTTPException(401, "x-api-key header is required")
        try:
            body = await request.json()
            prompt = kind.model_validate(body)
        except ValidationError as error:
            found = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise HTTPException(400, "; ".join(found)) from error
        except ValueError as error:
            raise HTTPException(400, f"the body is not JSON: {error}") from error
        if isinstance(prompt, Prompt) and (wrong := misused_tools(prompt)):
            raise HTTPException(400, wrong)
        self.received.append(body)
        return prompt


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs this server inside its process."""
        yield


def _asked_fault(request: Request) -> Fault | None:
    status, wait = request.headers.get("x-fail"), request.headers.get("x-fail-retry-after")
    return Fault(int(status), float(wait) if wait else None) if status else None


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Fault(error.status_code).response(error.detail)


async def _stream(message: Json, fault: Fault | None) -> AsyncIterator[str]:
    for n, sent in enumerate(events(message)):
        if fault and n == 4:
            yield event("error", **error_body(fault.status, "on demand"))
            return
        yield sent
