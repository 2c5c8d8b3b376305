"""The API behind API Gateway: both kinds of event, and waits that a gateway would cut off."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mangum import Mangum

from functions import wiring
from functions.api import edge
from functions.settings import settings
from graph.errors import Unavailable
from tests.fixtures.around import fails
from tests.fixtures.events import Context, http_event, rest_event
from tests.fixtures.service import Service, service

Event = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.usefixtures("process_loop")
EVENTS = pytest.mark.parametrize("event", [rest_event, http_event])


class Gateway:
    """An API Gateway in front of the app; each request is one invocation on the process's loop."""

    def __init__(self, event: Event, **limits: Any) -> None:
        self.event = event
        self.context = Context()
        self.api: Service = service(**limits)
        self.adapter = Mangum(self.api.app, lifespan="off")

    def __call__(self, method: str, url: str, body: Any = None, **options: Any) -> dict[str, Any]:
        return self.adapter(self.event(method, url, body, **options), self.context)

    def thread(self) -> str:
        made: str = json.loads(self("POST", "/threads", {})["body"])["thread_id"]
        return made

    def work(self) -> None:
        wiring.loop().run_until_complete(self.api.work())


@EVENTS
def test_a_request_goes_through(event: Event) -> None:
    gateway = Gateway(event)
    thread_id = gateway.thread()
    asked = {"assistant_id": "steps", "input": {"log": ["x"]}}

    created = gateway("POST", f"/threads/{thread_id}/runs", asked)
    gateway.work()
    found = gateway("GET", f"/threads/{thread_id}/history?limit=1")

    assert created["statusCode"] == 200
    run_id = json.loads(created["body"])["run_id"]
    assert created["headers"]["content-location"] == f"/threads/{thread_id}/runs/{run_id}"
    (state,) = json.loads(found["body"])
    assert state["values"] == {"log": ["x", "a", "b", "c"]}


@EVENTS
def test_an_error_has_the_same_shape(event: Event) -> None:
    gateway = Gateway(event)

    answer = gateway("GET", f"/threads/{uuid4()}")

    assert answer["statusCode"] == 404
    assert list(json.loads(answer["body"])) == ["detail"]
    assert answer["headers"]["content-type"] == "application/json"


@EVENTS
def test_the_same_key_through_a_gateway_is_one_run(event: Event) -> None:
    gateway = Gateway(event)
    at = f"/threads/{gateway.thread()}/runs"
    key = {"idempotency-key": "k1"}

    runs = [gateway("POST", at, {"assistant_id": "steps"}, headers=key) for _ in range(2)]

    assert len({json.loads(run["body"])["run_id"] for run in runs}) == 1


@EVENTS
def test_a_run_that_ends_in_time_is_waited_for(event: Event) -> None:
    gateway = Gateway(event)
    thread_id = gateway.thread()
    asked = {"assistant_id": "steps", "input": {"log": ["x"]}}
    working = wiring.loop().create_task(_work_when_asked(gateway.api))

    answer = gateway("POST", f"/threads/{thread_id}/runs/wait", asked)

    wiring.loop().run_until_complete(working)
    assert json.loads(answer["body"]) == {"log": ["x", "a", "b", "c"]}


async def _work_when_asked(api: Service) -> None:
    await api.queue.rung()
    await api.work()


@EVENTS
def test_a_run_that_takes_longer_is_a_redirect_to_the_same_wait(event: Event) -> None:
    gateway = Gateway(event, wait_seconds=0.05)
    thread_id = gateway.thread()
    at = f"/threads/{thread_id}/runs"

    waited = gateway("POST", f"{at}/wait", {"assistant_id": "steps", "input": {"log": []}})
    run_id = waited["headers"]["content-location"].rpartition("/")[2]
    joined = gateway("GET", f"{at}/{run_id}/join")
    gateway.work()
    ended = gateway("GET", f"{at}/{run_id}/join")

    assert (waited["statusCode"], joined["statusCode"], ended["statusCode"]) == (303, 303, 200)
    assert waited["headers"]["location"] == f"{run_id}/join"  # from .../runs/wait
    assert joined["headers"]["location"] == "join"  # from .../runs/{run_id}/join
    assert f"GET {at}/{run_id}/join" in json.loads(waited["body"])["detail"]
    assert json.loads(ended["body"]) == {"log": ["a", "b", "c"]}
    assert len(json.loads(gateway("GET", at)["body"])) == 1


def test_a_wait_ends_before_the_invocation_does() -> None:
    gateway = Gateway(rest_event, wait_seconds=60)
    gateway.context = Context(remaining=3.05)
    asked = {"assistant_id": "steps", "input": {"log": []}}

    answer = gateway("POST", f"/threads/{gateway.thread()}/runs/wait", asked)

    assert answer["statusCode"] == 303


def test_a_wait_that_the_database_breaks_off_does_not_ask_for_a_second_run() -> None:
    gateway = Gateway(rest_event)
    fails(gateway.api.rt.store.runs_by_id, Unavailable("Postgres is gone"))
    asked = {"assistant_id": "steps", "input": {"log": []}}

    answer = gateway("POST", f"/threads/{gateway.thread()}/runs/wait", asked)

    assert answer["statusCode"] == 303


def events_of(answer: dict[str, Any]) -> list[dict[str, str]]:
    """The fields of each server-sent event in an answer."""
    blocks = [block for block in answer["body"].split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def headers_of(answer: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = answer.get("headers") or {}
    many = answer.get("multiValueHeaders") or {}
    return {**{name: values[0] for name, values in many.items()}, **found}


@EVENTS
def test_a_stream_comes_in_segments_that_tell_where_to_go_on(event: Event) -> None:
    gateway = Gateway(event, segment_seconds=0.1)
    asked = {"assistant_id": "steps", "input": {"log": ["x"]}, "stream_mode": ["updates"]}
    at = f"/threads/{gateway.thread()}/runs"

    silent = gateway("POST", f"{at}/stream", asked)
    path = headers_of(silent)["location"]
    check = path.removesuffix("/stream")
    before = json.loads(gateway("GET", check)["body"])["status"]
    still = gateway("GET", path)
    gateway.work()
    after = json.loads(gateway("GET", check)["body"])["status"]
    rest = gateway("GET", path)

    assert [e["event"] for e in events_of(silent)] == ["metadata"]
    assert path.startswith(f"/resume/0{at}/")
    assert headers_of(silent)["content-type"] == "text/event-stream; charset=utf-8"
    assert [e["event"] for e in events_of(still)] == ["metadata"]
    names = [e["event"] for e in events_of(rest)]
    assert names == ["metadata", "updates", "updates", "updates", "end"]
    # The run has ended, but not for a client that has seen nothing of it.
    assert (before, after) == ("running", "running")
    last = check.replace("/resume/0/", "/resume/3/")
    assert json.loads(gateway("GET", last)["body"])["status"] == "success"


@EVENTS
def test_a_client_goes_on_after_what_it_has_whatever_was_sent(event: Event) -> None:
    gateway = Gateway(event, segment_seconds=0.1)
    asked = {"assistant_id": "steps", "input": {"log": []}, "stream_mode": ["updates", "values"]}
    thread_id = gateway.thread()
    run_id = json.loads(gateway("POST", f"/threads/{thread_id}/runs", asked)["body"])["run_id"]
    gateway.work()
    at = f"/resume/6/threads/{thread_id}/runs/{run_id}/stream"

    rest = gateway("GET", at, headers={"last-event-id": "4"})
    some = gateway("GET", f"{at}?stream_mode=updates", headers={"last-event-id": "2"})
    over = gateway("GET", at, headers={"last-event-id": "7"})

    assert [e.get("id") for e in events_of(rest)] == ["5", "6", "7", None]
    assert [e["event"] for e in events_of(some)] == ["updates", "updates", "end"]
    assert headers_of(some)["location"].endswith("/stream?stream_mode=updates")
    assert [e["event"] for e in events_of(over)] == ["end"]


def test_a_stream_that_the_database_breaks_off_can_be_taken_up_again() -> None:
    gateway = Gateway(rest_event, segment_seconds=5)
    fails(gateway.api.rt.store.heard, Unavailable("Postgres is gone"))
    asked = {"assistant_id": "steps", "input": {"log": []}}

    answer = gateway("POST", f"/threads/{gateway.thread()}/runs/stream", asked)

    assert (answer["statusCode"], events_of(answer)[0]["event"]) == (200, "metadata")
    assert headers_of(answer)["location"].startswith("/resume/0/")


def test_a_segment_ends_before_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.api.following.segments.SEGMENT_BYTES", 150)
    gateway = Gateway(rest_event, segment_seconds=1)
    asked = {"assistant_id": "steps", "input": {"log": []}, "stream_mode": ["values"]}
    thread_id = gateway.thread()
    run_id = json.loads(
        gateway("POST", f"/threads/{thread_id}/runs", {**asked, "stream_resumable": True})["body"]
    )["run_id"]
    gateway.work()
    ids: list[str] = []
    path = f"/threads/{thread_id}/runs/{run_id}/stream"
    segments = 0
    while "end" not in ids:
        seen = {"last-event-id": ids[-1]} if ids else None
        answer = gateway("GET", path, headers=seen)
        ids += [e.get("id", e["event"]) for e in events_of(answer) if e["event"] != "metadata"]
        path = headers_of(answer)["location"]
        segments += 1

    assert ids == ["1", "2", "3", "4", "end"]
    assert segments >= 2


CACHES = (settings, wiring.logger, wiring.store, wiring.runtime, edge.wired)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An environment with a project but nothing behind it."""
    project = tmp_path / "langgraph.json"
    project.write_text('{"graphs": {"mine": "./mine.py:graph"}}')
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere")
    monkeypatch.setenv("QUEUE_URL", f"unix://{tmp_path}/queue")
    monkeypatch.setenv("BATON_CONFIG", str(project))
    for cached in CACHES:
        cached.cache_clear()
    yield
    for cached in CACHES:
        cached.cache_clear()


@EVENTS
@pytest.mark.usefixtures("environment")
def test_the_handler_serves_the_project_of_its_environment(event: Event) -> None:
    from functions.api.handler import _adapter, handler

    _adapter.cache_clear()

    ok = handler(event("GET", "/ok"), Context())
    found = handler(event("GET", "/assistants/mine"), Context())
    down = handler(event("GET", f"/threads/{uuid4()}"), Context())

    assert json.loads(ok["body"]) == {"ok": True}
    assert json.loads(found["body"])["graph_id"] == "mine"
    assert down["statusCode"] == 503
