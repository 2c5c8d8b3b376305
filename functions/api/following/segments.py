"""A client that follows a run: its answer, on an open line or in segments."""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from fastapi import Request, Response

from functions.api.edge import Edge
from functions.api.following.sse import HEADERS, MEDIA_TYPE, sse
from functions.api.following.waiting import SAVING, OpenLine, leaving, where
from graph.errors import Unavailable
from graph.runtime.models import Run
from graph.runtime.telling import Reading, begins, told

LINE = "/line"  # before the path of a run whose stream says itself when there is no more
SEGMENT_BYTES = 4_000_000  # Lambda's answer may have 6 MB, and is wrapped in JSON


async def followed(
    request: Request, edge: Edge, run: Run, reading: Reading, *, cancels: bool
) -> Response:
    """The run's events for a client; `cancels` ends the run when the client leaves.

    Behind a gateway that sends nothing before it has everything, nobody sees a client leave. There
    the answer ends between two events after some seconds and tells where to go on. So does an open
    line where the function that holds it has its time.
    """
    if "aws.event" in request.scope:
        return await _segment(request, edge, run, reading)

    until = line_ends(edge)
    location = _location(request, run, prefix=LINE if until else "")
    headers = {**HEADERS, **where(run), "Location": location}
    left = leaving(edge, run, cancels=cancels)
    body = _line(edge, run, replace(reading, until=until))
    return OpenLine(body, headers, left, media_type=MEDIA_TYPE)


def line_ends(edge: Edge) -> float | None:
    """When a line that opens now is ended between two events, in `time.monotonic` seconds."""
    return time.monotonic() + edge.stream_seconds if edge.stream_seconds else None


async def _line(edge: Edge, run: Run, reading: Reading) -> AsyncIterator[bytes]:
    events = told(edge.rt, edge.listener, run, reading)
    something = False
    async for event in events:
        something = something or event is not None
        yield sse(event)
    if not something:  # which would count as a failure of the connection
        yield sse(begins(run))


async def _segment(request: Request, edge: Edge, run: Run, reading: Reading) -> Response:
    last, size = reading.after or 0, 0
    parts: list[bytes] = []
    until = time.monotonic() + segment_seconds(request, edge)
    with suppress(Unavailable):  # the run is there: a 503 would make clients ask for another
        async for event in told(edge.rt, edge.listener, run, replace(reading, until=until)):
            if event is None:
                continue
            text = sse(event)
            if parts and size + len(text) > SEGMENT_BYTES:
                break
            parts.append(text)
            size += len(text)
            last = event.seq or last
    # A segment without any event would count as a failure of the connection.
    body = b"".join(parts or [sse(begins(run))])
    location = _location(request, run, prefix=f"/resume/{last}")
    return Response(
        body, headers={**HEADERS, **where(run), "Location": location}, media_type=MEDIA_TYPE
    )


def segment_seconds(request: Request, edge: Edge) -> float:
    """How long a segment of this request may take."""
    left: float = request.scope["aws.context"].get_remaining_time_in_millis() / 1000
    return max(min(edge.segment_seconds, left - SAVING), 0.1)


def _location(request: Request, run: Run, *, prefix: str) -> str:
    """Where to go on reading, by the same filter."""
    query = f"?{request.url.query}" if request.method == "GET" and request.url.query else ""
    return f"{prefix}/threads/{run.thread_id}/runs/{run.run_id}/stream{query}"
