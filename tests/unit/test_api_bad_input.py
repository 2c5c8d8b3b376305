"""Bad input: each a clear 4xx in the wire format's shape, and nothing changed."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.service import Service, service

UNKNOWN = str(uuid4())
LIMIT = 20_000
INPUT: dict[str, Any] = {"log": []}

RUNS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "body.assistant_id: Field required"),
    ({"assistant_id": 5}, 422, "body.assistant_id: Input should be a valid string"),
    ({"assistant_id": "nobody"}, 404, "assistant 'nobody' does not exist"),
    ({"assistant_id": UNKNOWN}, 404, f"assistant '{UNKNOWN}' does not exist"),
    ({"input": INPUT, "command": {"resume": 1}}, 422, "input and command exclude each other"),
    ({"command": {}}, 422, "body.command: it needs resume, update or goto"),
    ({"command": "resume"}, 422, "body.command"),
    ({"command": {"goto": {"input": 1}}}, 422, "body.command.goto"),
    ({"command": {"resume": "yes"}}, 409, "nothing"),
    ({"checkpoint_id": UNKNOWN}, 404, f"checkpoint {UNKNOWN} does not exist on thread"),
    ({"checkpoint": {"checkpoint_id": UNKNOWN}}, 404, f"checkpoint {UNKNOWN} does not exist"),
    ({"checkpoint_id": "newest"}, 422, "body.checkpoint_id: Input should be a valid UUID"),
    ({"checkpoint": {"checkpoint_ns": "inner:1"}}, 422, "no checkpoint_ns"),
    ({"multitask_strategy": "interrupt"}, 422, "interrupt is not available yet"),
    ({"multitask_strategy": "rollback"}, 422, "rollback is not available yet"),
    ({"multitask_strategy": "hope"}, 422, "body.multitask_strategy"),
    ({"webhook": "http://example.com"}, 422, "body.webhook: it is not available yet"),
    ({"strict_resume": True}, 422, "body.strict_resume: it is not available yet"),
    ({"after_seconds": -1}, 422, "body.after_seconds"),
    ({"after_seconds": 1e300}, 422, "body.after_seconds"),
    ({"if_not_exists": "perhaps"}, 422, "body.if_not_exists"),
    ({"interrupt_before": "a"}, 422, "body.interrupt_before"),
    ({"metadata": []}, 422, "body.metadata"),
    ({"config": {"recursion_limit": 0}}, 422, "body.config.recursion_limit"),
    ({"config": {"recursion_limit": 2**40}}, 422, "body.config.recursion_limit"),
    ({"config": {"configurable": {"thread_id": "t"}}}, 422, "thread_id is not for clients"),
    ({"config": {"configurable": {"checkpoint_id": "c"}}}, 422, "checkpoint_id is not for"),
    ({"config": {"configurable": {"checkpoint_ns": "n"}}}, 422, "checkpoint_ns is not for"),
    ({"config": {"configurable": {"__pregel_x": 1}}}, 422, "__pregel_x is not for clients"),
    ({"input": {"log": ["\0"]}}, 422, "body: a text contains the character NUL"),
    ({"metadata": {"\0": 1}}, 422, "body: a text contains the character NUL"),
]
BODIES = [
    ("{", 422, "body: it is not JSON"),
    ("", 422, "body: Field required"),
    ("[]", 422, "body: Input should be a valid dictionary"),
    ('{"assistant_id": NaN}', 422, "body: it is not JSON"),
    ('{"assistant_id": "steps", "input": "\\ud800"}', 422, "body: it is not JSON"),
    ("[" * 5000, 422, "body: it is not JSON"),
    ('{"assistant_id": "steps", "input": "' + "x" * LIMIT + '"}', 413, "larger than 20000 bytes"),
]


@pytest.fixture
def api() -> Service:
    return service(max_body=LIMIT)


@pytest.fixture
async def thread_id(api: Service) -> str:
    return await api.ran("steps", input=INPUT)


@pytest.mark.parametrize("path", ["runs", "runs/wait"])
@pytest.mark.parametrize(("body", "status", "detail"), RUNS)
async def test_a_run_that_cannot_be(
    api: Service, thread_id: str, path: str, body: dict[str, Any], status: int, detail: str
) -> None:
    if body and "assistant_id" not in body:
        body = {"assistant_id": "steps", **body}
    before = await api.seen(thread_id)

    refusal = await api.call("POST", f"/threads/{thread_id}/{path}", body, status=status)

    assert list(refusal) == ["detail"]
    assert detail in refusal["detail"]
    assert await api.seen(thread_id) == before
    assert api.queue.sent == []


@pytest.mark.parametrize(("body", "status", "detail"), BODIES)
async def test_a_body_that_cannot_be_read(
    api: Service, thread_id: str, body: str, status: int, detail: str
) -> None:
    before = await api.seen(thread_id)
    json = {"Content-Type": "application/json"}

    answer = await api.http.post(f"/threads/{thread_id}/runs", content=body, headers=json)

    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["detail"]
    assert detail in answer.json()["detail"]
    assert await api.seen(thread_id) == before


async def test_a_body_that_hides_its_size_is_counted(api: Service, thread_id: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    json = {"Content-Type": "application/json"}
    answer = await api.http.post(f"/threads/{thread_id}/runs", content=parts(), headers=json)

    assert (answer.status_code, answer.json()) == (
        413,
        {"detail": "the body is larger than 20000 bytes"},
    )


async def test_an_escaped_backslash_before_u0000_is_no_nul(api: Service) -> None:
    thread_id = await api.thread(metadata={"text": r"\u0000 and \\u0000"})

    thread = await api.call("GET", f"/threads/{thread_id}")

    assert thread["metadata"] == {"text": r"\u0000 and \\u0000"}


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_of_no_or_too_much_length(api: Service, thread_id: str, key: str) -> None:
    asked = {"assistant_id": "steps"}
    headers = {"Idempotency-Key": key}

    refusal = await api.call(
        "POST", f"/threads/{thread_id}/runs", asked, headers=headers, status=422
    )

    assert "header.Idempotency-Key" in refusal["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"metadata": {}}),
        ("DELETE", "", None),
        ("GET", "/state", None),
        ("GET", f"/state/{UNKNOWN}", None),
        ("POST", "/state", {"values": {}}),
        ("POST", "/state/checkpoint", {"checkpoint": {}}),
        ("GET", "/history", None),
        ("POST", "/history", {}),
        ("GET", "/runs", None),
        ("POST", "/runs", {"assistant_id": "steps"}),
        ("POST", "/runs/wait", {"assistant_id": "steps"}),
        ("GET", f"/runs/{UNKNOWN}", None),
        ("GET", f"/runs/{UNKNOWN}/join", None),
        ("POST", f"/runs/{UNKNOWN}/cancel", None),
        ("DELETE", f"/runs/{UNKNOWN}", None),
    ],
)
async def test_an_unknown_and_a_malformed_thread(
    api: Service, method: str, path: str, body: Any
) -> None:
    unknown = await api.call(method, f"/threads/{UNKNOWN}{path}", body, status=404)
    malformed = await api.call(method, f"/threads/mine{path}", body, status=422)

    assert "does not exist" in unknown["detail"]
    assert "path.thread_id: Input should be a valid UUID" in malformed["detail"]
    assert await api.call("POST", "/threads/count", {}) == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", f"runs/{UNKNOWN}", 404, f"run {UNKNOWN} does not exist on thread"),
        ("GET", f"runs/{UNKNOWN}/join", 404, f"run {UNKNOWN} does not exist on thread"),
        ("POST", f"runs/{UNKNOWN}/cancel", 404, f"run {UNKNOWN} does not exist on thread"),
        ("DELETE", f"runs/{UNKNOWN}", 404, f"run {UNKNOWN} does not exist on thread"),
        ("GET", "runs/first", 422, "path.run_id: Input should be a valid UUID"),
        ("POST", f"runs/{UNKNOWN}/cancel?action=rollback", 422, "rollback is not available yet"),
        ("POST", f"runs/{UNKNOWN}/cancel?action=stop", 422, "query.action"),
        ("GET", "runs?limit=0", 422, "query.limit"),
        ("GET", "runs?limit=ten", 422, "query.limit"),
        ("GET", "runs?offset=-1", 422, "query.offset"),
        ("GET", "runs?status=done", 422, "query.status"),
        ("GET", "history?limit=0", 422, "query.limit"),
        ("GET", "history?before=newest", 422, "query.before"),
        ("GET", "state/newest", 422, "path.checkpoint_id"),
        ("GET", "state/%00", 422, "path.checkpoint_id"),
        ("GET", "state?subgraphs=perhaps", 422, "query.subgraphs"),
    ],
)
async def test_what_is_asked_of_a_thread(
    api: Service, thread_id: str, method: str, path: str, status: int, detail: str
) -> None:
    before = await api.seen(thread_id)

    refusal = await api.call(method, f"/threads/{thread_id}/{path}", status=status)

    assert detail in refusal["detail"]
    assert await api.seen(thread_id) == before


async def test_a_run_is_found_on_its_own_thread_only(api: Service, thread_id: str) -> None:
    (run,) = await api.call("GET", f"/threads/{thread_id}/runs")

    await api.call("GET", f"/threads/{await api.thread()}/runs/{run['run_id']}", status=404)


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/threads", {"thread_id": "mine"}, "body.thread_id: Input should be a valid UUID"),
        ("/threads", {"metadata": "x"}, "body.metadata"),
        ("/threads", {"if_exists": "x"}, "body.if_exists"),
        ("/threads", {"ttl": 0}, "body.ttl.ttl"),
        ("/threads", {"ttl": 1e300}, "body.ttl.ttl"),
        ("/threads", {"ttl": {"ttl": 1, "strategy": "x"}}, "body.ttl.strategy"),
        ("/threads", {"supersteps": [{"updates": []}]}, "body.supersteps: it is not available"),
        ("/threads/search", {"limit": 1001}, "body.limit"),
        ("/threads/search", {"offset": -1}, "body.offset"),
        ("/threads/search", {"status": "done"}, "body.status"),
        ("/threads/search", {"ids": ["x"]}, "body.ids.0"),
        ("/threads/search", {"sort_by": "colour"}, "body.sort_by"),
        ("/threads/search", {"sort_order": "up"}, "body.sort_order"),
        ("/threads/search", {"values": {"a": 1}}, "body.values: it is not available yet"),
        ("/threads/search", {"extract": {"a": "b"}}, "body.extract: it is not available yet"),
        ("/threads/count", {"values": {"a": 1}}, "body.values: it is not available yet"),
        ("/assistants/search", {"limit": 0}, "body.limit"),
        ("/assistants/search", {"sort_by": "colour"}, "body.sort_by"),
    ],
)
async def test_what_is_asked_about_threads_and_assistants(
    api: Service, path: str, body: dict[str, Any], detail: str
) -> None:
    refusal = await api.call("POST", path, body, status=422)

    assert detail in refusal["detail"]
    assert await api.call("POST", "/threads/count", {}) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/assistants", 404),
        ("PATCH", "/assistants/steps", 405),
        ("GET", "/threads/search/", 404),
        ("PUT", "/threads", 405),
        ("POST", "/runs/wait", 404),
        ("DELETE", f"/threads/{UNKNOWN}/runs/{UNKNOWN}/stream", 405),
    ],
)
async def test_what_there_is_not(api: Service, method: str, path: str, status: int) -> None:
    refusal = await api.call(method, path, {} if method != "GET" else None, status=status)

    assert refusal == {"detail": f"there is no {method} {path} here"}


async def test_what_nobody_expected_is_logged_and_kept_from_the_client(
    api: Service, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*args: Any) -> None:
        raise RuntimeError("the password is hunter2")

    api.rt.store.get_thread = broken  # type: ignore[method-assign, assignment]

    answer = await api.call("GET", f"/threads/{UNKNOWN}", status=500)

    assert answer == {"detail": "internal error: the log says more"}
    assert "hunter2" in caplog.text
