"""All runs of a thread followed at once, those to come too: on an open line, or in segments."""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator

from functions.api.access.owner import Owner
from functions.api.answers import answer
from functions.api.edge import Api, Edge
from functions.api.following.segments import SEGMENT_BYTES, line_ends, segment_seconds
from functions.api.following.sse import HEADERS, HEARTBEAT, MEDIA_TYPE, block
from functions.api.routes.streams import modes_of
from functions.api.routing import routes_of
from functions.api.schemas.answers import STREAM
from graph.errors import Unavailable
from graph.runtime.batches import Item
from graph.runtime.late import late
from graph.runtime.models import Json, RunEnd, Thread
from graph.runtime.rendering import to_json
from graph.runtime.thread_story import HEARTBEAT as HEARTBEAT_SECONDS
from graph.runtime.thread_story import Place, thread_told, unfinished, whole

router = routes_of("Threads")

EDITS = 0.3  # seconds between two looks for a state that was edited
ALL_RUNS = "/every/threads/{thread_id}/runs/run"
ThreadMode = Literal["run_modes", "lifecycle", "state_update"]
Modes = Annotated[
    list[ThreadMode],
    BeforeValidator(modes_of),
    Query(
        description="run_modes: what the runs tell. lifecycle: that they begin and end. "
        "state_update: the thread's state as it changes, by runs or by hand."
    ),
]


async def thread_of(api: Api, owner: Owner, thread_id: UUID) -> Thread:
    """The thread that a path names; raises NotFound."""
    return await api.rt.store.get_thread(str(thread_id), owner)


async def place_of(
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="Go on after this event; -1: from the first run. "
            "Without: from the start of the runs that have not ended.",
        ),
    ] = None,
) -> Place | None:
    if not last_event_id:
        return None
    return Place() if last_event_id == "-1" else Place.parse(last_event_id)


Followed = Annotated[Thread, Depends(thread_of)]
From = Annotated[Place | None, Depends(place_of)]


class Story:
    """A thread's stream for one reader: blocks of text, and where it stands after each."""

    def __init__(self, edge: Edge, thread: Thread, modes: list[ThreadMode]) -> None:
        self.edge, self.thread, self.modes = edge, thread, modes
        self._begun: set[str] = set()
        self._head = thread.head

    async def blocks(
        self, place: Place, until: float | None = None
    ) -> AsyncIterator[tuple[bytes, Place]]:
        thread_id, owner = self.thread.thread_id, self.thread.owner
        beat = EDITS if "state_update" in self.modes else HEARTBEAT_SECONDS
        told = thread_told(self.edge.rt, thread_id, owner, place, until=until, beat=beat)
        async for item, place in told:
            if item is None:
                yield await self._state(place) or HEARTBEAT, place
                continue
            text = b"".join([self._of(item, place), await self._state(place)])
            if text:
                yield text, place

    def _of(self, item: Item, place: Place) -> bytes:
        text = b""
        run_id = item.run_id if isinstance(item, RunEnd) else item[0]
        if run_id not in self._begun and {"run_modes", "lifecycle"} & {*self.modes}:
            self._begun.add(run_id)
            text += _block("metadata", {"run_id": run_id, "attempt": 1}, place)
        if isinstance(item, RunEnd):
            if text or {"run_modes", "lifecycle"} & {*self.modes}:
                text += _block("metadata", _end(item), place)
        elif "run_modes" in self.modes:
            text += block(item[1].name, item[1].data, str(place))
        return text

    async def _state(self, place: Place) -> bytes:
        """The thread's new state, if that is asked for and has changed."""
        if "state_update" not in self.modes:
            return b""
        thread = await whole(
            self.edge.rt.store.get_thread(self.thread.thread_id, self.thread.owner)
        )
        if thread.head in (None, self._head):
            return b""
        self._head = thread.head
        newest_values = (await late("graph.runtime.values")).newest_values
        values = await whole(newest_values(self.edge.rt, [thread], thread.owner))
        checkpoint = {
            "thread_id": thread.thread_id,
            "checkpoint_ns": "",
            "checkpoint_id": self._head,
        }
        state = {"values": values[thread.thread_id], "checkpoint": checkpoint}
        return _block("state_update", state, place)


@router.get("/threads/{thread_id}/stream", response_class=Response, responses=STREAM)
async def join_thread(
    request: Request,
    api: Api,
    thread: Followed,
    start: From,
    stream_mode: Modes = ["run_modes"],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Follow every run of a thread: those that have not ended, and those to come."""
    story = Story(api, thread, stream_mode)
    place = start or await unfinished(api.rt, thread.thread_id)
    query = f"?{request.url.query}" if request.url.query else ""
    location = ALL_RUNS.format(thread_id=thread.thread_id) + f"/stream{query}"
    headers = {**HEADERS, "Location": location}
    if "aws.event" in request.scope:
        body = await _segment(story, place, segment_seconds(request, api))
        return Response(body, headers=headers, media_type=MEDIA_TYPE)
    text = _line(story, place, line_ends(api))
    return StreamingResponse(text, headers=headers, media_type=MEDIA_TYPE)


router.add_api_route(ALL_RUNS + "/stream", join_thread, include_in_schema=False)


@router.get(ALL_RUNS, include_in_schema=False)
async def goes_on(thread: Followed) -> Response:
    """A client asks this when a segment ended: there is always more to come."""
    return answer({"thread_id": thread.thread_id, "status": "running"})


async def _line(story: Story, place: Place, until: float | None) -> AsyncIterator[bytes]:
    told = False
    async for text, _ in story.blocks(place, until):
        told = told or text != HEARTBEAT
        yield text
    if until is not None and not told:  # which would count as a failure of the connection
        yield _block("metadata", {"thread_id": story.thread.thread_id}, place)


async def _segment(story: Story, place: Place, seconds: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    with suppress(Unavailable):
        async for text, after in story.blocks(place, time.monotonic() + seconds):
            if parts and size + len(text) > SEGMENT_BYTES:
                break
            if text != HEARTBEAT:
                parts.append(text)
                size, place = size + len(text), after
    # One without an event would count as a failure of the connection.
    return b"".join(parts) or _block("metadata", {"thread_id": story.thread.thread_id}, place)


def _end(end: RunEnd) -> Json:
    """That a run is over; an event named `error` would end the stream for clients."""
    said = {"status": "run_done", "run_id": end.run_id, "run_status": end.status}
    return said | ({"error": end.error} if end.error else {})


def _block(name: str, data: Any, place: Place) -> bytes:
    return block(name, to_json(data), str(place))
