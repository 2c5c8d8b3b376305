"""The SDK's v3 thread protocol as a WebSocket: commands in, their answers and the frames out."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from functions.api.access.callers import Caller
from functions.api.doors.commands import Command, refusal
from functions.api.doors.inside import detail, inside
from functions.api.doors.protocol import Frames, Subscription
from functions.api.edge import Edge
from graph.errors import AgentError
from graph.runtime.models import Json
from graph.runtime.rendering import to_json

JSON = {"Content-Type": "application/json"}
SUBSCRIBE = "subscription.subscribe"
REFUSED, TOO_LARGE, BROKEN = 1008, 1009, 1011  # close codes of RFC 6455


async def thread_socket(socket: WebSocket) -> None:
    """A thread for one client: what it asks is asked of the API itself, by the same rules."""
    edge: Edge = socket.app.state.edge()
    if not _may_call(socket, edge.origins):
        await socket.close(REFUSED, "this page's origin may not call")
        return
    await socket.accept()
    visit = _Visit(socket, edge)
    try:
        while True:
            text = await socket.receive_text()
            if len(text) > edge.max_body:
                await socket.close(TOO_LARGE, f"more than {edge.max_body} bytes")
                return
            await visit.hear(text)
    except (WebSocketDisconnect, KeyError):  # it left, or sent what is no text
        return
    finally:
        await visit.over()


def _may_call(socket: WebSocket, origins: Sequence[str]) -> bool:
    """A browser lets every page open a WebSocket, and tells only whose page it is."""
    origin = socket.headers.get("origin")
    own = urlsplit(origin or "").netloc == socket.headers.get("host")
    return origin is None or own or "*" in origins or origin in origins


class _Visit:
    """One connection, which follows its thread once it has subscribed."""

    def __init__(self, socket: WebSocket, edge: Edge) -> None:
        self._socket, self._edge = socket, edge
        self._path = f"/threads/{socket.path_params['thread_id']}"
        self._telling: asyncio.Task[None] | None = None

    async def hear(self, text: str) -> None:
        """Do what one frame asks, and answer it."""
        try:
            asked = Command.model_validate_json(text)
            if asked.method == SUBSCRIBE:
                said = await self._subscribe(asked)
            else:
                said = await self._command(asked, text)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, wrong["loc"]))
            said = refusal(None, 422, f"{where}: {wrong['msg']}")
        await self._send(said)

    async def _command(self, asked: Command, text: str) -> Json:
        async with inside(self._socket) as here:
            answer = await here.post(f"{self._path}/commands", content=text, headers=JSON)
        if not answer.is_success:
            return refusal(asked.id, answer.status_code, detail(answer))
        said: Json = answer.json()
        return said

    async def _subscribe(self, asked: Command) -> Json:
        wanted = Subscription.model_validate(asked.params)
        if self._telling:
            return refusal(asked.id, 409, "this connection has its subscription: open another")
        async with inside(self._socket) as here:
            readable = await here.get(self._path)
        if not readable.is_success:
            return refusal(asked.id, readable.status_code, detail(readable))
        caller: Caller = self._socket.state.caller
        thread_id = readable.json()["thread_id"]
        thread = await self._edge.rt.store.get_thread(thread_id, caller.owner)
        self._telling = asyncio.create_task(self._tell(Frames(self._edge, thread, wanted)))
        return {"type": "success", "id": asked.id, "result": {"subscription_id": "1"}}

    async def _tell(self, frames: Frames) -> None:
        code = 1000  # the thread is gone: there is nothing more to come
        try:
            async for told in frames.told():
                for frame in told or ():
                    await self._send(frame)
        except AgentError:  # the client goes on from its last frame
            code = BROKEN
        if self._socket.client_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code)

    async def _send(self, said: Any) -> None:
        await self._socket.send_text(to_json(said).decode())

    async def over(self) -> None:
        if self._telling:
            self._telling.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect):
                await self._telling


route = WebSocketRoute("/threads/{thread_id:uuid}/stream/events", thread_socket)
