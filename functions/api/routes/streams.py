"""Runs followed as they go: on an open line, or in segments where a gateway buffers."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request, Response
from orjson import loads
from pydantic import BeforeValidator

from functions.api.access.owner import Owner
from functions.api.answers import answer, run_json
from functions.api.edge import Api
from functions.api.following.accepting import Terms, start
from functions.api.following.on_line import on_line
from functions.api.following.segments import LINE, followed
from functions.api.routes.runs import ACCEPTING
from functions.api.routing import routes_of
from functions.api.schemas.answers import STREAM
from functions.api.schemas.runs import Mode, RunStream
from graph.errors import BadInput
from graph.runtime.models import Run, RunStatus
from graph.runtime.telling import Reading

router = routes_of("Runs", responses=ACCEPTING)

RUN = "/threads/{thread_id}/runs/{run_id}"


def modes_of(given: Any) -> Any:
    """The Python client sends one parameter for each, the JavaScript client one with JSON."""
    if isinstance(given, list) and len(given) == 1:
        return loads(given[0]) if given[0].startswith("[") else given if given[0] else None
    return given


async def reading_of(
    stream_mode: Annotated[
        list[Mode] | None,
        BeforeValidator(modes_of),
        Query(description="Only these of the run's stream modes."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", description="Go on after this event; -1: from the start."),
    ] = None,
) -> Reading:
    """Where a client goes on reading, and what it wants."""
    if last_event_id in (None, "", "-1"):
        return Reading(modes=stream_mode)
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 19):
        raise BadInput(f"Last-Event-ID: {last_event_id!r} is not an event's id")
    return Reading(int(last_event_id), stream_mode)


async def run_of(api: Api, owner: Owner, thread_id: UUID, run_id: UUID) -> Run:
    """The run that a path names; raises NotFound."""
    return await api.rt.store.get_run(str(run_id), str(thread_id), owner)


From = Annotated[Reading, Depends(reading_of)]
Named = Annotated[Run, Depends(run_of)]


@router.post("/threads/{thread_id}/runs/stream", response_class=Response, responses=STREAM)
async def stream(
    request: Request, api: Api, owner: Owner, thread_id: UUID, asked: RunStream, terms: Terms
) -> Response:
    """Create a run and follow it."""
    run = await on_line(
        request,
        api,
        lambda at: start(at, owner, thread_id, asked, terms.key, if_match=terms.if_match),
    )
    return await followed(request, api, run, Reading(), cancels=asked.on_disconnect == "cancel")


@router.get(RUN + "/stream", response_class=Response, responses=STREAM)
async def join_stream(
    request: Request, api: Api, run: Named, reading: From, cancel_on_disconnect: bool = False
) -> Response:
    """Follow a run from its start, or after the event that Last-Event-ID names."""
    return await followed(request, api, run, reading, cancels=cancel_on_disconnect)


router.add_api_route(LINE + RUN + "/stream", join_stream, include_in_schema=False)


@router.get(LINE + RUN, include_in_schema=False)
async def run_on_line(run: Named) -> Response:
    """The run, said to be running: who asks has a line that ended before the run's `end`."""
    return answer(run_json(run) | {"status": RunStatus.RUNNING})


@router.get("/resume/{seq}" + RUN + "/stream", include_in_schema=False)
async def resume_stream(
    request: Request, api: Api, run: Named, reading: From, cancel_on_disconnect: bool = False
) -> Response:
    """The next segment. Last-Event-ID says where it begins, for only the client knows what came;
    one that has nothing with an id starts again."""
    return await followed(request, api, run, reading, cancels=cancel_on_disconnect)


@router.get("/resume/{seq}" + RUN, include_in_schema=False)
async def resume_run(api: Api, run: Named, seq: Annotated[int, Path(ge=0, lt=2**63)]) -> Response:
    """The run, said to be running as long as it has told more than a segment that ended at `seq`.

    A client asks this after a segment without an end, and stops if the run is over.
    """
    found = await api.rt.store.heard({run.run_id: seq}, limit=1)
    more = any(heard.events or not heard.status.ended for heard in found)
    return answer(run_json(run) | ({"status": RunStatus.RUNNING} if more else {}))
