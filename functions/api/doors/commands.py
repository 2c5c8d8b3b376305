"""The SDK's v3 thread protocol: commands, and what they bring about as one stream of frames.

It goes on until the client leaves, so it needs a server that streams.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from functions.api.access.identify import STREAM_EVENT
from functions.api.access.owner import Owner
from functions.api.answers import answer
from functions.api.doors.inside import detail, inside
from functions.api.doors.protocol import MODES, Frames, Subscription
from functions.api.edge import Api
from functions.api.following.sse import HEADERS, HEARTBEAT, MEDIA_TYPE, block
from functions.api.routes.thread_streams import Followed
from functions.api.routing import routes_of
from functions.api.schemas.answers import NOT_BUFFERED, PROBLEMS, STREAM
from graph.runtime.models import Json
from graph.runtime.rendering import to_json
from graph.runtime.thread_story import newest

router = routes_of("Threads", responses=PROBLEMS | NOT_BUFFERED)

ERRORS = {401: "permission_denied", 403: "permission_denied", 404: "no_such_run"}


class Command(BaseModel):
    """What is to be done: run.start or input.respond."""

    id: int = Field(ge=0)
    method: str
    params: Json = {}


class Respond(BaseModel):
    """The answer to one question of a run that waits for it."""

    response: Any = None
    interrupt_id: str
    namespace: list[str] = []


async def open_line(request: Request) -> None:
    """Raises for a request behind a gateway that sends nothing before it has everything."""
    if "aws.event" in request.scope:
        raise HTTPException(
            501,
            "this address buffers its answers, and the thread protocol has no end to wait for: use "
            "the deployment's streaming address, or runs.stream and threads.join_stream here",
        )


Streaming = Annotated[None, Depends(open_line)]


@router.post("/threads/{thread_id}/commands")
async def command(
    request: Request,
    api: Api,
    owner: Owner,
    thread_id: UUID,
    asked: Command,
    _streams: Streaming,
) -> Response:
    """Start a run, or answer what one asks; what comes of it is told by the stream of events."""
    if asked.method == "run.start":
        run = {**asked.params, "if_not_exists": "create"}
    elif asked.method == "input.respond":
        thread = await api.rt.store.get_thread(str(thread_id), owner)
        told = Respond.model_validate(asked.params)
        run = {
            "assistant_id": thread.metadata.get("assistant_id"),
            "command": {"resume": {told.interrupt_id: told.response}},
        }
    else:
        why = f"there is no {asked.method!r} here"
        return answer(_error(asked.id, "unknown_command", why))
    applied = await newest(api.rt, str(thread_id))
    run |= {"stream_mode": MODES, "stream_subgraphs": True, "stream_resumable": True}
    terms = {k: v for k, v in request.headers.items() if k == "idempotency-key"}
    # A function stands still between two requests: nothing can be stepped there behind an answer.
    async with inside(request, followed=STREAM_EVENT not in request.scope) as here:
        started = await here.post(f"/threads/{thread_id}/runs", json=run, headers=terms)
    if not started.is_success:
        return answer(refusal(asked.id, started.status_code, detail(started)))
    said = started.json()
    result, meta = {"run_id": said["run_id"]}, {"applied_through_seq": applied}
    return answer({"type": "success", "id": asked.id, "result": result, "meta": meta})


def refusal(asked: int | None, status: int, message: str) -> Json:
    """A command's answer when the API refuses what it asks."""
    return _error(asked, ERRORS.get(status, "invalid_argument"), message)


def _error(asked: int | None, error: str, message: str) -> Json:
    return {"type": "error", "id": asked, "error": error, "message": message}


@router.post("/threads/{thread_id}/stream/events", response_class=Response, responses=STREAM)
async def events(
    api: Api,
    thread: Followed,
    asked: Subscription,
    _streams: Streaming,
) -> Response:
    """The frames of all of the thread's runs, on the channels that are asked for."""
    body = _blocks(Frames(api, thread, asked))
    return StreamingResponse(body, headers=HEADERS, media_type=MEDIA_TYPE)


async def _blocks(frames: Frames) -> AsyncIterator[bytes]:
    async for told in frames.told():
        if told is None:
            yield HEARTBEAT
            continue
        yield b"".join(block("message", to_json(one), one["event_id"]) for one in told)
