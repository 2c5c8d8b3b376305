"""A client that follows a run: its answer, on an open line or in segments."""

import time
from contextlib import suppress
from dataclasses import replace

from fastapi import Request, Response

from functions.api.edge import Edge
from functions.api.sse import HEADERS, MEDIA_TYPE, sse
from functions.api.waiting import SAVING, OpenLine, leaving, where
from graph.errors import Unavailable
from graph.runtime.models import Run
from graph.runtime.telling import Reading, begins, told

SEGMENT_BYTES = 4_000_000  # Lambda's answer may have 6 MB, and is wrapped in JSON


async def followed(
    request: Request, edge: Edge, run: Run, reading: Reading, *, cancels: bool
) -> Response:
    """The run's events for a client; `cancels` ends the run when the client leaves.

    Behind a gateway that sends nothing before it has everything, nobody sees a client leave. There
    the answer ends between two events after some seconds and tells where to go on.
    """
    if "aws.event" in request.scope:
        return await _segment(request, edge, run, reading)

    events = told(edge.rt, edge.listener, run, reading)
    headers = {**HEADERS, **where(run), "Location": _location(request, run)}
    left = leaving(edge, run, cancels=cancels)
    body = (sse(event) async for event in events)
    return OpenLine(body, headers, left, media_type=MEDIA_TYPE)


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
    location = _location(request, run, after=last)
    return Response(
        body, headers={**HEADERS, **where(run), "Location": location}, media_type=MEDIA_TYPE
    )


def segment_seconds(request: Request, edge: Edge) -> float:
    """How long a segment of this request may take."""
    left: float = request.scope["aws.context"].get_remaining_time_in_millis() / 1000
    return max(min(edge.segment_seconds, left - SAVING), 0.1)


def _location(request: Request, run: Run, *, after: int | None = None) -> str:
    """Where to go on reading, by the same filter."""
    resume = "" if after is None else f"/resume/{after}"
    query = f"?{request.url.query}" if request.method == "GET" and request.url.query else ""
    return f"{resume}/threads/{run.thread_id}/runs/{run.run_id}/stream{query}"
