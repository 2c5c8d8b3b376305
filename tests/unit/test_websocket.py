"""The WebSocket function: who may connect, and what frames are answered."""

import json
from dataclasses import replace
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from functions.api.access.callers import Caller, User
from functions.api.edge import Edge
from functions.websocket.commands import Desk
from functions.websocket.handler import serve
from graph.errors import NotFound, Unavailable
from graph.runtime.follow import Follower
from graph.runtime.listening import Listener
from graph.runtime.models import Notice, Topic
from infra.local.gateway import Connection, event_of
from tests.fixtures.around import fails
from tests.fixtures.service import Service, service
from tests.unit.test_webhooks import Bell

OWNERS = {"key of alice": "alice", "key of mallory": "mallory"}
NOWHERE = "00000000-0000-4000-8000-000000000000"


async def by_key(request: Any) -> Caller:
    owner = OWNERS.get(request.headers.get("x-api-key", ""))
    if owner is None:
        raise HTTPException(401, "who are you?")
    return Caller(owner, User({"identity": owner, "permissions": ["all"]}))


class Line:
    """The function behind a gateway, and the API's service beside it."""

    def __init__(self, behind: Service, **edge: Any) -> None:
        self.service = behind
        self.bell = Bell()
        rt = replace(behind.rt, notices=self.bell)
        self.edge = Edge(rt, Follower(rt.store), Listener(rt.store), **edge)
        self.desk = Desk(self.edge)
        self.store = rt.store

    async def event(self, kind: str, name: str = "c1", **more: Any) -> Any:
        scope = {"headers": [], "query_string": b""}
        event = event_of(Connection(name, "127.0.0.1"), kind, scope)
        return await serve(event | more, self.desk)

    async def connect(self, name: str = "c1", **headers: str) -> Any:
        return await self.event("CONNECT", name, headers=headers)

    async def say(self, frame: Any, name: str = "c1") -> Any:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        answer = await self.event("MESSAGE", name, body=text)
        assert answer["statusCode"] == 200
        return json.loads(answer["body"])

    async def ask(self, method: str, _on: str = "c1", /, **params: Any) -> Any:
        """The result; what went wrong as (code, message)."""
        answer = await self.say({"id": 7, "method": method, "params": params}, _on)
        assert answer["id"] == 7
        if answer["type"] == "success":
            return answer["result"]
        assert answer.keys() == {"id", "type", "error", "message"}
        return answer["error"], answer["message"]


@pytest.fixture
def line() -> Line:
    return Line(service(), identify=by_key)


async def alices(line: Line) -> str:
    """A thread of hers; she is on c1."""
    await line.connect(**{"x-api-key": "key of alice"})
    made = await line.ask("run.start", thread_id=NOWHERE, assistant_id="steps", input={})
    assert made[0] == "not_found"
    from graph.runtime.runs import new_thread

    thread = await line.store.create_thread(
        new_thread(NOWHERE.replace("8000", "9000"), "alice"), if_exists="do_nothing"
    )
    return thread.thread_id


async def test_who_is_known_connects_and_nobody_else(line: Line) -> None:
    assert await line.connect(**{"X-Api-Key": "key of alice"}) == {"statusCode": 200}
    assert (await line.store.connected("c1")).owner == "alice"
    for headers in ({}, {"x-api-key": "guessed"}, {"Sec-WebSocket-Protocol": "baton, guessed"}):
        assert await line.connect("c2", **headers) == {"statusCode": 401}
    with pytest.raises(NotFound):
        await line.store.connected("c2")


async def test_a_browser_gives_its_key_as_a_subprotocol(line: Line) -> None:
    answer = await line.connect(**{"Sec-WebSocket-Protocol": "baton, key of mallory"})
    assert answer == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "baton"}}
    assert (await line.store.connected("c1")).owner == "mallory"


async def test_no_credential_is_kept(line: Line) -> None:
    await line.connect(**{"x-api-key": "key of alice"})
    assert "key of" not in repr(await line.store.connected("c1"))


async def test_a_database_that_is_down_is_a_503(line: Line) -> None:
    fails(line.store.connect, Unavailable("Postgres is down"))
    assert await line.connect(**{"x-api-key": "key of alice"}) == {"statusCode": 503}


async def test_who_leaves_is_forgotten_and_is_answered_no_more(line: Line) -> None:
    await line.connect(**{"x-api-key": "key of alice"})
    assert await line.ask("ping") == {"pong": True}
    assert await line.event("DISCONNECT") == {"statusCode": 200}
    assert (await line.ask("ping"))[0] == "not_found"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ("", "JSON"),
        ("[1]", "object"),
        ("{", "JSON"),
        ({"id": 1}, "method"),
        ({"id": {}, "method": "ping"}, "id"),
        ({"id": 1, "method": "ping", "params": []}, "params"),
        ({"id": 1, "method": "dance"}, "subscription.subscribe"),
        ({"id": 1, "method": "subscription.subscribe"}, "thread_id"),
        ({"id": 1, "method": "subscription.subscribe", "params": {"thread_id": "x"}}, "thread_id"),
        (
            {
                "id": 1,
                "method": "subscription.subscribe",
                "params": {"thread_id": NOWHERE, "since": -1},
            },
            "since",
        ),
        (
            {
                "id": 1,
                "method": "subscription.subscribe",
                "params": {"thread_id": NOWHERE, "channels": ["\0"]},
            },
            "channels",
        ),
        ({"id": 1, "method": "run.cancel", "params": {"thread_id": NOWHERE}}, "run_id"),
        ({"id": 1, "method": "run.start", "params": {"thread_id": NOWHERE}}, "assistant_id"),
    ],
)
async def test_what_cannot_be_understood_is_told_what_is_wrong(
    line: Line, frame: Any, why: str
) -> None:
    await line.connect(**{"x-api-key": "key of alice"})
    answer = await line.say(frame)
    assert (answer["type"], answer["error"]) == ("error", "invalid_argument")
    assert why in answer["message"]


async def test_a_run_is_started_once_for_a_key_followed_and_cancelled(line: Line) -> None:
    thread_id = await alices(line)
    followed = await line.ask("subscription.subscribe", thread_id=thread_id)
    assert followed == {"subscription_id": thread_id, "after": 0}
    assert line.bell.rung == [(Notice(Topic.THREAD, thread_id), 0.0)]
    asked = {
        "thread_id": thread_id,
        "assistant_id": "steps",
        "input": {},
        "idempotency_key": "once",
    }
    run = await line.ask("run.start", **asked)
    assert await line.ask("run.start", **asked) == run
    assert await line.ask("subscription.subscribe", thread_id=thread_id, run_id=run["run_id"]) == {
        "subscription_id": f"{thread_id}/{run['run_id']}",
        "after": 0,
    }
    named = {"thread_id": thread_id, "run_id": run["run_id"]}
    assert await line.ask("run.cancel", **named) == {}
    assert (await line.ask("run.cancel", **named))[0] == "conflict"
    found = await line.store.get_run(run["run_id"], thread_id, "alice")
    assert found.status == "interrupted"
    assert found.kwargs["stream_mode"] == ["values"]
    assert await line.ask("subscription.unsubscribe", **named) == {}


async def test_a_stranger_is_told_that_there_is_nothing(line: Line) -> None:
    thread_id = await alices(line)
    run = await line.ask("run.start", thread_id=thread_id, assistant_id="steps", input={})
    await line.connect("c2", **{"x-api-key": "key of mallory"})
    named = {"thread_id": thread_id, "run_id": run["run_id"]}
    for method, params in (
        ("subscription.subscribe", {"thread_id": thread_id}),
        ("subscription.subscribe", named),
        ("run.start", {"thread_id": thread_id, "assistant_id": "steps", "input": {}}),
        ("input.respond", {"thread_id": thread_id, "response": "yes"}),
        ("run.cancel", named),
    ):
        assert (await line.ask(method, "c2", **params))[0] == "not_found", method
    assert (await line.store.get_run(run["run_id"], thread_id, "alice")).status == "pending"
    assert line.bell.rung == []


async def test_what_a_run_asks_is_answered(line: Line) -> None:
    thread_id = await alices(line)
    await line.ask("run.start", thread_id=thread_id, assistant_id="asks", input={})
    await line.service.work()
    thread = await line.store.get_thread(thread_id, "alice")
    assert thread.status == "interrupted"
    made = await line.ask("input.respond", thread_id=thread_id, response="yes")
    found = await line.store.get_run(made["run_id"], thread_id, "alice")
    assert found.kwargs["command"] == {"resume": "yes"}
    await line.service.work()
    assert (await line.ask("input.respond", thread_id=thread_id, response="yes"))[0] == "conflict"


async def test_the_projects_handlers_are_asked_as_for_a_request(line: Line) -> None:
    thread_id = await alices(line)
    asked: list[str] = []

    async def nobody(*args: Any) -> Any:
        asked.append(repr(args))
        raise HTTPException(403, "not today")

    strict = Line(line.service, identify=by_key, permit=nobody)
    for method in ("subscription.subscribe", "run.start"):
        params = {"thread_id": thread_id, "assistant_id": "steps", "input": {}}
        assert await strict.ask(method, **params) == ("permission_denied", "not today")
    assert len(asked) == 2


async def test_without_a_notify_queue_nothing_can_be_followed() -> None:
    line = Line(service(), identify=by_key)
    line.edge = replace(line.edge, rt=replace(line.edge.rt, notices=None))
    line.desk = Desk(line.edge)
    await line.connect(**{"x-api-key": "key of alice"})
    code, message = await line.ask("subscription.subscribe", thread_id=NOWHERE)
    assert (code, "NOTIFY_QUEUE_URL" in message) == ("invalid_argument", True)
