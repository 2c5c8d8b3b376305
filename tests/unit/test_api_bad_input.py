"""Bad input: each a clear 4xx in the wire format's shape, and nothing changed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fixtures.around import fails
from tests.fixtures.service import Service, service

UNKNOWN = "00000000-0000-4000-8000-000000000000"
LIMIT = 20_000
INPUT: dict[str, Any] = {"log": []}
STEPS = [{"updates": [{"values": {"log": 5}, "as_node": "a"}]}]
SPY = {"configurable": {"thread_id": UNKNOWN}}
BROKE = {"configurable": {"budget": {"usd": -1}}}
OLD = {"configurable": {"k": 1}}

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
    ({"multitask_strategy": "hope"}, 422, "body.multitask_strategy"),
    ({"webhook": "http://example.com"}, 422, "webhook"),
    ({"strict_resume": "perhaps"}, 422, "body.strict_resume"),
    ({"command": {"resume": {}}, "strict_resume": True}, 422, "command.resume names no question"),
    ({"durability": "forever"}, 422, "body.durability"),
    ({"checkpoint_during": "perhaps"}, 422, "body.checkpoint_during"),
    ({"feedback_keys": "key"}, 422, "body.feedback_keys"),
    ({"langsmith_tracer": []}, 422, "body.langsmith_tracer"),
    ({"interrupt_after": 5}, 422, "body.interrupt_after"),
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
        ("POST", f"runs/{UNKNOWN}/cancel?action=rollback", 404, f"run {UNKNOWN} does not exist"),
        ("POST", f"runs/{UNKNOWN}/cancel?action=hide", 422, "query.action"),
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
        ("GET", "state?select=colour", 422, "query.select.0"),
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
        ("/threads", {"supersteps": [{"updates": []}]}, "body.supersteps.0.updates"),
        ("/threads", {"supersteps": STEPS}, "body.supersteps: they need a graph_id"),
        ("/threads", {"supersteps": STEPS, "graph_id": "steps"}, "the graph refuses the values"),
        ("/threads/search", {"limit": 1001}, "body.limit"),
        ("/threads/search", {"offset": -1}, "body.offset"),
        ("/threads/search", {"status": "done"}, "body.status"),
        ("/threads/search", {"ids": ["x"]}, "body.ids.0"),
        ("/threads/search", {"sort_by": "colour"}, "body.sort_by"),
        ("/threads/search", {"sort_order": "up"}, "body.sort_order"),
        ("/threads/search", {"select": ["colour"]}, "body.select.0"),
        ("/threads/search", {"values": [1]}, "body.values"),
        ("/threads/search", {"extract": {"a": "b"}}, "body.extract.a"),
        ("/threads/search", {"extract": {"a": "values[x]"}}, "body.extract.a"),
        ("/threads/search", {"extract": {"a b": "values"}}, "body.extract: 'a b' must be a name"),
        ("/threads/search", {"extract": {"status": "values"}}, "body.extract: 'status' must be"),
        ("/threads/search", {"extract": {f"a{n}": "values" for n in range(11)}}, "body.extract"),
        ("/threads/count", {"values": "x"}, "body.values"),
        ("/threads/prune", {}, "body.thread_ids: Field required"),
        ("/threads/prune", {"thread_ids": ["mine"]}, "body.thread_ids.0"),
        ("/threads/prune", {"thread_ids": UNKNOWN}, "body.thread_ids"),
        ("/threads/prune", {"thread_ids": [], "strategy": "x"}, "body.strategy"),
        ("/assistants", {}, "body.graph_id: Field required"),
        ("/assistants", {"graph_id": "steps", "assistant_id": "mine"}, "body.assistant_id"),
        ("/assistants", {"graph_id": "steps", "name": ""}, "body.name"),
        ("/assistants", {"graph_id": "steps", "if_exists": "x"}, "body.if_exists"),
        ("/assistants", {"graph_id": "steps", "config": {"recursion_limit": 0}}, "body.config"),
        ("/assistants", {"graph_id": "steps", "config": SPY}, "thread_id is not for clients"),
        ("/assistants", {"graph_id": "steps", "config": BROKE}, "config.configurable.budget"),
        ("/assistants", {"graph_id": "steps", "config": OLD, "context": {"k": 2}}, "use context"),
        ("/assistants/steps/versions", {"limit": 0}, "body.limit"),
        ("/assistants/steps/latest", {}, "body.version: Field required"),
        ("/assistants/steps/latest", {"version": 2**31}, "body.version"),
        ("/assistants/search", {"select": ["colour"]}, "body.select.0"),
        ("/assistants/count", {"metadata": []}, "body.metadata"),
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
        ("PUT", "/assistants", 405),
        ("GET", "/threads/search/", 404),
        ("PUT", "/threads", 405),
        ("DELETE", f"/threads/{UNKNOWN}/runs/{UNKNOWN}/stream", 405),
    ],
)
async def test_what_there_is_not(api: Service, method: str, path: str, status: int) -> None:
    refusal = await api.call(method, path, {} if method != "GET" else None, status=status)

    assert refusal == {"detail": f"there is no {method} {path} here"}


async def test_what_nobody_expected_is_logged_and_kept_from_the_client(
    api: Service, caplog: pytest.LogCaptureFixture
) -> None:
    fails(api.rt.store.get_thread, RuntimeError("the password is hunter2"))

    answer = await api.call("GET", f"/threads/{UNKNOWN}", status=500)

    assert answer == {"detail": "internal error: the log says more"}
    assert "hunter2" in caplog.text


ALONE = [
    ({}, 422, "assistant_id: Field required"),
    ({"assistant_id": "nobody"}, 404, "assistant 'nobody' does not exist"),
    ({"on_completion": "hide"}, 422, "on_completion"),
    ({"checkpoint_id": UNKNOWN}, 422, "no checkpoint to start from"),
    ({"checkpoint": {"checkpoint_id": UNKNOWN}}, 422, "no checkpoint to start from"),
    ({"command": {"resume": 1}}, 422, "nothing to resume"),
]


@pytest.mark.parametrize("path", ["/runs", "/runs/wait", "/runs/stream", "/runs/batch"])
@pytest.mark.parametrize(("body", "status", "detail"), ALONE)
async def test_a_run_without_a_thread_that_cannot_be(
    api: Service, path: str, body: dict[str, Any], status: int, detail: str
) -> None:
    if body and "assistant_id" not in body:
        body = {"assistant_id": "steps", **body}
    fine = {"assistant_id": "steps", "input": INPUT}
    asked = [fine, body] if path == "/runs/batch" else body

    refusal = await api.call("POST", path, asked, status=status)

    assert detail in refusal["detail"]
    assert await api.call("POST", "/threads/count", {}) == 0
    assert api.queue.sent == []


@pytest.mark.parametrize("value", ["newest", "*", '"no-uuid"'])
async def test_an_if_match_that_is_no_checkpoint(api: Service, thread_id: str, value: str) -> None:
    before = await api.seen(thread_id)
    refusal = await api.call(
        "POST",
        f"/threads/{thread_id}/runs",
        {"assistant_id": "steps"},
        status=422,
        headers={"If-Match": value},
    )
    assert "header.If-Match" in refusal["detail"]
    assert await api.seen(thread_id) == before


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 422, "it needs thread_id, run_ids or status"),
        ({"status": "success"}, 422, "body.status"),
        ({"status": "all", "run_ids": [UNKNOWN]}, 422, "status excludes"),
        ({"run_ids": []}, 422, "body.run_ids"),
        ({"run_ids": ["x"]}, 422, "body.run_ids.0"),
        ({"run_ids": [UNKNOWN]}, 404, f"run {UNKNOWN} does not exist"),
        ({"thread_id": UNKNOWN}, 404, f"thread {UNKNOWN} does not exist"),
    ],
)
async def test_runs_that_cannot_be_cancelled(
    api: Service, thread_id: str, body: dict[str, Any], status: int, detail: str
) -> None:
    run = await api.run(thread_id, "steps", input=INPUT)
    if "run_ids" in body and body["run_ids"] == [UNKNOWN]:
        body = {**body, "run_ids": [run["run_id"], UNKNOWN]}
        status, detail = (422, "status excludes") if "status" in body else (404, detail)
    before = await api.seen(thread_id)
    refusal = await api.call("POST", "/runs/cancel", body, status=status)
    assert detail in refusal["detail"]
    assert await api.seen(thread_id) == before


@pytest.mark.parametrize("query", ["status=lost", "select=secret", "limit=0", "offset=-1"])
async def test_a_list_of_runs_that_cannot_be(api: Service, thread_id: str, query: str) -> None:
    refusal = await api.call("GET", f"/threads/{thread_id}/runs?{query}", status=422)
    assert f"query.{query.split('=')[0]}" in refusal["detail"]
