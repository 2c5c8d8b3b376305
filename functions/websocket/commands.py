"""What a client may send over a WebSocket, and what it is answered.

A frame is {"id", "method", "params"}; its answer carries the id:
{"type": "success", "id", "result"} or {"type": "error", "id", "error", "message"}.
What a frame asks is asked of the API itself, as the one who connected: its rules are the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from functions.api.access.callers import Caller
from functions.api.app import create_app
from functions.api.edge import Edge
from functions.websocket.identity import CALLER, kept, of_the_connection
from graph.errors import AgentError, BadInput, Conflict, NotFound
from graph.runtime.models import Notice, Topic, Wish
from graph.runtime.notices import ring_outside

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]
MOST_CHANNELS = 20
Channel = Annotated[str, Field(pattern=r"^[a-z]{1,50}$")]
ERRORS = {
    401: "permission_denied",
    403: "permission_denied",
    404: "not_found",
    409: "conflict",
    412: "conflict",
    413: "invalid_argument",
    422: "invalid_argument",
    429: "rate_limited",
    503: "unavailable",
}


class Refused(Exception):
    """What the API answers instead, as a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.code = ERRORS.get(status, "invalid_argument" if status < 500 else "unknown_error")


class Frame(BaseModel):
    id: int | str | None = None
    method: str
    params: Json = {}


class Nothing(BaseModel):
    """A command without parameters."""


class OnThread(BaseModel):
    model_config = ConfigDict(extra="allow")

    thread_id: UUID
    run_id: UUID | None = None
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)

    @property
    def rest(self) -> Json:
        """What is for the API to look at."""
        return dict(self.model_extra or {})


class Subscribe(OnThread):
    """Follow a thread's runs, or one of them; `since` is the last event the client has."""

    since: int | None = Field(None, ge=0, lt=2**63)
    channels: list[Channel] = Field([], max_length=MOST_CHANNELS)


class Respond(OnThread):
    """Answer what a run asked: all of it, or the interrupt that is named."""

    response: Any
    interrupt_id: str | None = None


class Cancel(OnThread):
    run_id: UUID


@dataclass(frozen=True, slots=True)
class Visit:
    """On whose behalf a command is carried out, and with what."""

    edge: Edge
    api: "httpx.AsyncClient"
    connection_id: str
    owner: str

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        answer = await self.api.request(method, path, json=body, headers=headers)
        said = orjson.loads(answer.content) if answer.content else {}
        if not answer.is_success:
            raise Refused(answer.status_code, str(said.get("detail", answer.reason_phrase)))
        return said


async def ping(_asked: Nothing, _visit: Visit) -> Json:
    return {"pong": True}


async def subscribe(asked: Subscribe, visit: Visit) -> Json:
    """Follows from `after`; the notice brings what is there already."""
    rt, thread_id, run_id = visit.edge.rt, str(asked.thread_id), str(asked.run_id or "")
    if rt.notices is None:
        raise BadInput("this deployment has no notify queue (NOTIFY_QUEUE_URL)")
    await visit.ask("GET", f"/threads/{thread_id}/runs?limit=1")  # whether they may read it
    wish = Wish(
        visit.connection_id,
        visit.owner,
        thread_id,
        run_id,
        since=asked.since,
        channels=tuple(asked.channels),
    )
    after = await rt.store.subscribe(wish)
    await ring_outside(rt, [Notice(Topic.THREAD, thread_id)], owner=visit.owner)
    return {"subscription_id": f"{thread_id}/{run_id}".rstrip("/"), "after": after}


async def unsubscribe(asked: OnThread, visit: Visit) -> Json:
    thread_id, run_id = str(asked.thread_id), str(asked.run_id or "")
    await visit.edge.rt.store.unsubscribe(visit.connection_id, thread_id, run_id)
    return {}


async def start_run(asked: OnThread, visit: Visit) -> Json:
    """POST /threads/{thread_id}/runs, told to those who subscribe."""
    key = {"Idempotency-Key": quote(asked.idempotency_key)} if asked.idempotency_key else None
    body = {"stream_mode": ["values"], "stream_resumable": True, **asked.rest}
    run = await visit.ask("POST", f"/threads/{asked.thread_id}/runs", body, key)
    return {"run_id": run["run_id"], "thread_id": run["thread_id"]}


async def respond(asked: Respond, visit: Visit) -> Json:
    thread = await visit.edge.rt.store.get_thread(str(asked.thread_id), visit.owner)
    resume = asked.response if asked.interrupt_id is None else {asked.interrupt_id: asked.response}
    told = {
        "assistant_id": thread.metadata.get("assistant_id"),
        **asked.rest,
        "command": {"resume": resume},
        "thread_id": asked.thread_id,
        "idempotency_key": asked.idempotency_key,
    }
    return await start_run(OnThread.model_validate(told), visit)


async def cancel(asked: Cancel, visit: Visit) -> Json:
    await visit.ask("POST", f"/threads/{asked.thread_id}/runs/{asked.run_id}/cancel")
    return {}


COMMANDS: dict[str, tuple[type[BaseModel], Callable[[Any, Visit], Awaitable[Json]]]] = {
    "ping": (Nothing, ping),
    "subscription.subscribe": (Subscribe, subscribe),
    "subscription.unsubscribe": (OnThread, unsubscribe),
    "run.start": (OnThread, start_run),
    "input.respond": (Respond, respond),
    "run.cancel": (Cancel, cancel),
}


class Desk:
    """Answers frames, in front of an API that takes a connection's word for who asks."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        trusting = replace(edge, identify=of_the_connection)
        self._app = create_app(lambda: trusting)

    async def answer_to(self, text: str, connection_id: str) -> str:
        """Carry out what a frame asks; every error has one shape."""
        frame: Frame | None = None
        try:
            frame = Frame.model_validate_json(text)
            return _said(frame, type="success", result=await self._carry_out(frame, connection_id))
        except ValidationError as error:
            parts = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return _sorry(frame, "invalid_argument", "; ".join(parts))
        except Refused as error:
            return _sorry(frame, error.code, str(error))
        except AgentError as error:
            return _sorry(frame, _code(error), str(error))

    async def _carry_out(self, frame: Frame, connection_id: str) -> Json:
        if frame.method not in COMMANDS:
            raise BadInput(f"there is no method {frame.method!r}: {', '.join(COMMANDS)}")
        shape, command = COMMANDS[frame.method]
        asked = shape.model_validate(frame.params)
        caller = kept(await self.edge.rt.store.connected(connection_id))
        async with self._as(caller) as api:
            return await command(asked, Visit(self.edge, api, connection_id, caller.owner))

    def _as(self, caller: Caller) -> "httpx.AsyncClient":
        import httpx  # who connects or leaves asks for nothing

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._app({**scope, CALLER: caller}, receive, send)

        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://websocket")


def _code(error: AgentError) -> str:
    statuses: dict[type[AgentError], int] = {NotFound: 404, Conflict: 409, BadInput: 422}
    return ERRORS[next((s for kind, s in statuses.items() if isinstance(error, kind)), 503)]


def _sorry(frame: Frame | None, code: str, message: str) -> str:
    return _said(frame, type="error", error=code, message=message)


def _said(frame: Frame | None, **what: Any) -> str:
    return orjson.dumps({"id": frame and frame.id, **what}).decode()
