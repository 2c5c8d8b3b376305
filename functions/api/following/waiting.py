"""A client on the line until its run ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from math import inf

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Send

from functions.api.answers import answer
from functions.api.edge import Edge
from functions.api.following.on_line import hand_over
from graph.errors import Conflict, NotFound, Unavailable
from graph.runtime.late import late
from graph.runtime.models import Json, Run
from graph.runtime.rendering import to_json
from graph.runtime.runs import stop_run

HEARTBEAT = 5.0  # seconds; JSON may start with any number of line breaks
SAVING = 3.0  # seconds kept of an invocation for the answer itself


def where(run: Run) -> dict[str, str]:
    """The headers that tell a client which run is meant."""
    return {"Content-Location": f"/threads/{run.thread_id}/runs/{run.run_id}"}


class BrokenOff(Exception):
    """The line is over and the answer is not: the connection is cut in the middle of it."""


class OpenLine(StreamingResponse):
    """An answer that knows when its client leaves, and not only that it is over.

    Its body may raise BrokenOff.
    """

    def __init__(
        self,
        body: AsyncIterator[bytes],
        headers: dict[str, str],
        left: Callable[[], Awaitable[None]],
        *,
        media_type: str,
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._left = left

    async def stream_response(self, send: Send) -> None:
        with suppress(BrokenOff):  # a server cuts what was begun and not ended
            await super().stream_response(send)

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await super().listen_for_disconnect(receive)
        await asyncio.shield(self._left())


def leaving(edge: Edge, run: Run, *, cancels: bool) -> Callable[[], Awaitable[None]]:
    """What to do when the client leaves: end the run if it `cancels`."""

    async def left() -> None:
        hand_over(edge, run.run_id)
        if cancels:
            with suppress(Conflict, NotFound):  # it has ended, or is gone
                await stop_run(edge.rt, run.run_id, run.thread_id, run.owner)

    return left


async def end_of(
    request: Request, edge: Edge, run: Run, *, join: str, cancels: bool = False
) -> Response:
    """The run's final values; `cancels` ends the run when the client leaves.

    A server keeps the line open with a line break now and then, for as long as it takes. One in a
    function has minutes, and then cuts the line: clients that take it up go to the Location. Lambda
    sends nothing before it has everything, and has seconds: what takes longer is a 303 to `join`,
    the same wait once more. The JavaScript client follows it by itself; the Python client raises
    it with the Location, and `runs.join` goes on. Not a 503: clients would repeat the POST, and
    with it the run.
    """
    location = {**where(run), "Location": f"/threads/{run.thread_id}/runs/{run.run_id}/join"}
    if "aws.event" not in request.scope:
        left = leaving(edge, run, cancels=cancels)
        return OpenLine(_beating(edge, run), location, left, media_type="application/json")
    try:
        values = await _final(edge, run, within=_seconds(request, edge))
    except (TimeoutError, Unavailable):
        waits = {"detail": f"run {run.run_id} goes on: GET {location['Location']} to wait for it"}
        # Relative to this request, for the gateway's stage may be in front of every path.
        return answer(waits, 303, headers={**location, "Location": join})
    return answer(values, headers=location)


def _seconds(request: Request, edge: Edge) -> float:
    left: float = request.scope["aws.context"].get_remaining_time_in_millis() / 1000
    return max(min(edge.wait_seconds, left - SAVING), 0.1)


async def _final(edge: Edge, run: Run, *, within: float | None = None) -> Json:
    try:
        ended = await edge.follower.end_of(run.run_id, within=within)
    except NotFound as gone:  # rolled back, or deleted with its thread
        return {"__error__": {"error": "RunDeleted", "message": str(gone)}}
    final_values = (await late("graph.runtime.values")).final_values
    values: Json = await final_values(edge.rt, ended)
    return values


async def _beating(edge: Edge, run: Run) -> AsyncIterator[bytes]:
    final = asyncio.ensure_future(_final(edge, run))
    until = time.monotonic() + (edge.stream_seconds or inf)
    try:
        while (left := until - time.monotonic()) > 0:
            if (await asyncio.wait({final}, timeout=min(HEARTBEAT, left)))[0]:
                break
            yield b"\n"
        else:
            raise BrokenOff
        yield to_json(final.result())
    finally:
        final.cancel()
