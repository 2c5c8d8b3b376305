"""API Gateway's WebSocket API on loopback: frames become the handler's events.

What the handler answers, and what is POSTed to @connections, goes to the client. One ASGI app on
uvicorn, in a process of its own on a socket that the stack holds.
"""

import asyncio
import contextlib
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
import uvicorn

from infra.local.api import answers_ok
from infra.local.children import Children, Program, python
from infra.local.kept import Server, kept

Json = dict[str, Any]
Invoke = Callable[[Json], Awaitable[Json]]
LONGEST = 128 * 1024  # bytes of a message, both ways
OUTBOX = 64  # messages that wait for a client that does not read: then it is told off
TIMEOUT = 29.0  # seconds of an integration
TOO_BIG, FAILED = 1009, 1011
PAUSE = 0.1


@dataclass(slots=True)
class Connection:
    """A client on the line."""

    connection_id: str
    ip: str
    connected_at: float = field(default_factory=time.time)
    outbox: "asyncio.Queue[str]" = field(default_factory=lambda: asyncio.Queue(OUTBOX))
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Gateway:
    """The ASGI app; `invoke` calls the handler with an event."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke
        self.connections: dict[str, Connection] = {}

    async def __call__(self, scope: Json, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._serve(scope, receive, send)
        elif scope["type"] == "http":
            status, body, kind = await self._manage(scope, receive)
            headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", kind.encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": orjson.dumps(body) if body else b""})

    async def _serve(self, scope: Json, receive: Any, send: Any) -> None:
        await receive()  # websocket.connect
        client = Connection(uuid.uuid4().hex[:15] + "=", (scope.get("client") or ["?"])[0])
        answer = await self._call(client, "CONNECT", scope)
        if answer.get("statusCode") != 200:
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {k.lower(): v for k, v in (answer.get("headers") or {}).items()}
        chosen = headers.get("sec-websocket-protocol")
        await send({"type": "websocket.accept", "subprotocol": chosen})
        self.connections[client.connection_id] = client
        writing = asyncio.create_task(_write(client, send))
        reading = asyncio.create_task(self._read(client, scope, receive))
        over = asyncio.create_task(client.over.wait())
        parts = {writing, reading, over}
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connections.pop(client.connection_id, None)
            code = TOO_BIG if reading.done() and reading.result() == TOO_BIG else 1000
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            with contextlib.suppress(Exception):  # it may be gone already
                await send({"type": "websocket.close", "code": code})
            await self._call(client, "DISCONNECT", scope)

    async def _read(self, client: Connection, scope: Json, receive: Any) -> int:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return 1000
            text = message.get("text") or (message.get("bytes") or b"").decode(errors="replace")
            if len(text.encode()) > LONGEST:
                return TOO_BIG
            answer = await self._call(client, "MESSAGE", scope, body=text)
            if answer.get("body"):
                await client.outbox.put(answer["body"])

    async def _call(self, client: Connection, kind: str, scope: Json, **more: Any) -> Json:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._invoke(event_of(client, kind, scope) | more)
        except Exception as error:  # the edge to the handler: whatever it raises
            print(f"the WebSocket function failed: {error!r}", file=sys.stderr, flush=True)
            sorry = {"message": "Internal server error", "connectionId": client.connection_id}
            return {"statusCode": 500, "body": orjson.dumps(sorry).decode()}

    async def _manage(self, scope: Json, receive: Any) -> tuple[int, Json | None, str]:
        """The @connections API."""
        if scope["path"] == "/ok":
            return 200, {"ok": True}, ""
        name = unquote(scope["path"]).removeprefix("/@connections/")
        client = self.connections.get(name)
        if client is None:
            return 410, {"message": f"{name} is gone"}, "GoneException"
        if scope["method"] == "DELETE":
            client.over.set()
            return 204, None, ""
        if scope["method"] == "GET":
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(client.connected_at))
            known = {"identity": {"sourceIp": client.ip, "userAgent": ""}}
            return 200, {"connectedAt": at, "lastActiveAt": at, **known}, ""
        body = await _body(receive)
        if body is None:  # the sender gave up: what came of it is not a message
            return 400, {"message": "the request was cut off"}, "BadRequestException"
        return _put(client, body)


def _put(client: Connection, body: bytes) -> tuple[int, Json | None, str]:
    if len(body) > LONGEST:
        return 413, {"message": "too large"}, "PayloadTooLargeException"
    try:
        client.outbox.put_nowait(body.decode())
    except asyncio.QueueFull:
        return 429, {"message": "the client does not read"}, "LimitExceededException"
    return 200, None, ""


async def _body(receive: Any) -> bytes | None:
    body, more = b"", True
    while more and len(body) <= LONGEST:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _write(client: Connection, send: Any) -> None:
    """Until it is cancelled, or the line is broken."""
    while True:
        await send({"type": "websocket.send", "text": await client.outbox.get()})


def event_of(client: Connection, kind: str, scope: Json) -> Json:
    """An event as API Gateway makes it."""
    route = "$default" if kind == "MESSAGE" else f"${kind.lower()}"
    context = {
        "routeKey": route,
        "eventType": kind,
        "connectionId": client.connection_id,
        "connectedAt": round(client.connected_at * 1000),
        "requestId": uuid.uuid4().hex,
        "requestTimeEpoch": round(time.time() * 1000),
        "stage": "local",
        "apiId": "local",
        "domainName": "localhost",
        "identity": {"sourceIp": client.ip},
    }
    event: Json = {"requestContext": context, "isBase64Encoded": False}
    if kind == "CONNECT":
        event["headers"] = {name.decode(): value.decode() for name, value in scope["headers"]}
        event["queryStringParameters"] = _query(scope["query_string"]) or None
    return event


def _query(text: bytes) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.decode().split("&") if part)
    return {unquote(name): unquote(value) for name, _, value in pairs}


@contextlib.asynccontextmanager
async def gateway(
    listening: socket.socket, children: Children, env: Mapping[str, str], cwd: Path
) -> AsyncIterator[None]:
    """The gateway answers on the socket."""
    fd = listening.fileno()
    port = listening.getsockname()[1]
    program = Program("gateway", python("infra.local.gateway", str(fd)), env, cwd, fds=(fd,))

    async def ready() -> None:
        while not await answers_ok(port):
            await asyncio.sleep(PAUSE)

    async with kept(Server(program, ready), children):
        yield


def in_thread(call: Callable[[Json], Json]) -> Invoke:
    """A handler called one event at a time, on a thread and an event loop of its own."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="websocket")

    async def invoke(event: Json) -> Json:
        return await asyncio.get_running_loop().run_in_executor(thread, call, event)

    return invoke


def _handle(event: Json) -> Json:
    from functions.websocket.handler import handler  # loads with the first client
    from infra.local.worker import Context

    request_id = event["requestContext"]["requestId"]
    context: Any = Context(request_id, "baton-websocket", time.time() + TIMEOUT)
    answer: Json = handler(event, context)
    return answer


def main() -> None:
    """The server itself; serves on the socket whose number it is given."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    listening.set_inheritable(False)
    app: Any = Gateway(in_thread(_handle))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        ws_max_size=2 * LONGEST,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
