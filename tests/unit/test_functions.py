"""The functions that no HTTP reaches, called as Lambda calls them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from functions import settings as settings_module
from functions import wiring
from functions.settings import Settings
from functions.step.handler import step_records
from graph.errors import BadProject
from graph.runtime.jobs import encode
from graph.runtime.models import StepJob
from infra.local.events import sqs_event
from infra.local.queues import Message
from infra.local.worker import Context
from tests.fixtures.driver import Driver
from tests.fixtures.keys import a_ring, entry, listed

REQUIRED = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "QUEUE_URL": "unix:///none"}


class State(TypedDict):
    n: int


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    yield
    for cached in (settings_module.settings, wiring.logger, wiring.loop, wiring.runtime):
        cached.cache_clear()


def message(number: int, body: str, receives: int = 1) -> Message:
    return Message(f"id-{number}", f"receipt-{number}", body, "g", receives, 1.0, 1.0)


def context() -> Any:  # as Lambda's, whose class Powertools names
    return Context("request-1", "baton-step", deadline=2e9 * 2)


@pytest.mark.usefixtures("environment")
def test_a_batch_steps_what_it_can_and_returns_the_rest() -> None:
    graph = StateGraph(State).add_node("n", lambda s: {"n": s["n"] + 1}).add_edge(START, "n")
    loop = wiring.loop()
    driver = Driver(graph.compile())
    loop.run_until_complete(driver.ask({"n": 1}))
    job = loop.run_until_complete(driver.queue.receive())
    assert job is not None
    bodies = [encode(job), "not a job", encode(StepJob("unknown", 0)), encode(job)]
    event = sqs_event([message(n, body) for n, body in enumerate(bodies)], "arn:aws:sqs:r:1:q")

    answer = step_records(event, context(), driver.rt)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "id-1"}]}
    assert loop.run_until_complete(driver.values()) == {"n": 2}
    loop.close()


@pytest.mark.usefixtures("environment")
def test_a_whole_batch_that_fails_is_returned_not_raised() -> None:
    driver = Driver(None)
    event = sqs_event([message(1, "{}"), message(2, "[]")], "arn:aws:sqs:r:1:q")
    answer = step_records(event, context(), driver.rt)
    failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert failed == ["id-1", "id-2"]
    wiring.loop().close()


@pytest.mark.usefixtures("environment")
def test_all_invocations_of_a_process_run_on_one_event_loop() -> None:
    loops = []

    async def node(state: State) -> State:
        loops.append(asyncio.get_running_loop())
        return {"n": state["n"] + 1}

    graph = StateGraph(State).add_node("a", node).add_node("b", node)
    driver = Driver(graph.add_edge(START, "a").add_edge("a", "b").compile())
    wiring.loop().run_until_complete(driver.ask({"n": 0}))
    for _ in range(2):
        job = wiring.loop().run_until_complete(driver.queue.receive())
        assert job is not None
        event = sqs_event([message(1, encode(job))], "arn:aws:sqs:r:1:q")
        answer = step_records(event, context(), driver.rt)
        assert answer == {"batchItemFailures": []}
    assert loops == [wiring.loop(), wiring.loop()]
    wiring.loop().close()


def test_an_incomplete_environment_names_all_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BATON_MAX_ATTEMPTS", "none")
    with pytest.raises(BadProject) as raised:
        Settings.of_environment()
    for name in (*REQUIRED, "BATON_MAX_ATTEMPTS"):
        assert name in str(raised.value)


@pytest.mark.usefixtures("environment")
def test_encryption_keys_seal_and_bad_ones_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, why in (("k1:AAAA", "has 3 bytes"), (f"{entry('a')},{entry('a')}", "is there twice")):
        monkeypatch.setenv("ENCRYPTION_KEYS", said)
        settings_module.settings.cache_clear()
        with pytest.raises(BadProject, match=f"ENCRYPTION_KEYS: .*{why}"):
            wiring.store()
    monkeypatch.setenv("ENCRYPTION_KEYS", listed("new", "old"))
    settings_module.settings.cache_clear()
    try:
        assert wiring.store().db.another().seals.cipher.keys == a_ring("new", "old")
    finally:
        wiring.store.cache_clear()


AWS = ("boto3", "botocore.client", "cryptography")
ENGINE = ("langgraph", "langchain_core")
WEB = ("httpx", "a2a", "mcp", "jsonschema", "uvicorn")
NEVER = (*AWS, "anthropic", "langgraph.store.postgres", "cryptography")
SPARED = ("langgraph_sdk.client", "langsmith.types.run", "langgraph.pregel.remote")


@pytest.mark.parametrize(
    ("modules", "not_imported", "most"),
    [
        ("functions.step.handler", (*NEVER, *WEB, *SPARED, "cronsim", "fastapi"), 1030),
        ("functions.step.handler, langgraph.graph", (*NEVER, *WEB, *SPARED, "fastapi"), 1095),
        ("functions.api.handler", (*NEVER, *ENGINE, *WEB), 765),
        ("functions.stream.app", (*NEVER, *ENGINE, *WEB, "mangum"), 560),
        ("functions.websocket.handler", (*NEVER, *ENGINE, *WEB), 760),
        ("functions.sweep.handler", (*NEVER, *ENGINE, *WEB, "fastapi"), 545),
        ("functions.notify.handler", (*NEVER, *ENGINE, *WEB, "fastapi"), 535),
        ("functions.migrate.handler", (*NEVER, *ENGINE, *WEB, "fastapi"), 535),
    ],
)
def test_a_function_starts_without_what_it_may_not_need(
    modules: str, not_imported: tuple[str, ...], most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """By name, and by count, to some 5 % more than there were when it was last set."""
    code = f"import sys, {modules}; print(len(sys.modules), "
    code += f"*(m for m in {not_imported!r} if m in sys.modules))"
    env: dict[str, Any] = {**os.environ, **REQUIRED}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    count, *needless = done.stdout.split()
    with capsys.disabled():
        print(f"\n{modules}: {count} modules, at most {most}")
    assert needless == []
    assert int(count) <= most


@pytest.mark.parametrize(
    "start", ["import functions.step.handler", "from functions.api.edge import wired; wired()"]
)
def test_a_function_tells_langgraph_to_build_known_types_only(start: str) -> None:
    code = f"{start}; from langgraph.checkpoint.serde import _msgpack as m; "
    code += "assert m.STRICT_MSGPACK_ENABLED"
    env = {k: v for k, v in os.environ.items() if k != "LANGGRAPH_STRICT_MSGPACK"}
    subprocess.run([sys.executable, "-c", code], env={**env, **REQUIRED}, check=True)


@pytest.mark.parametrize("function", ["step", "api"])
def test_garbage_is_not_looked_for_while_a_function_imports_and_is_after(function: str) -> None:
    code = f"import gc; import functions.{function}.handler; "
    code += "assert gc.isenabled(); print(sum(s['collections'] for s in gc.get_stats()))"
    env = {**os.environ, **REQUIRED}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # some hundreds otherwise


def test_garbage_is_looked_for_after_more_than_the_steps_of_an_invocation_make() -> None:
    code = "import gc, functions.step.handler; gc.collect(); looked = []; "
    code += "gc.callbacks.append(lambda *told: looked.append(told)); "
    code += "few = [[] for _ in range(4_000)]; assert not looked, looked; "
    code += "more = [[] for _ in range(2_000)]; assert looked"
    command = [sys.executable, "-c", code]
    subprocess.run(command, env={**os.environ, **REQUIRED}, check=True)


def test_migrate_is_told_of_the_embeddings_that_a_project_configures(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wiring.dims_of_embeddings() is None
    notebook = Path(__file__).parents[1] / "fixtures" / "projects" / "notebook" / "langgraph.json"
    monkeypatch.setenv("BATON_CONFIG", str(notebook))
    settings_module.settings.cache_clear()
    assert wiring.dims_of_embeddings() == 2
