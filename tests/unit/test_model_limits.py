"""Calls under rate limits, failures in a row, and the models that are asked instead."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send

from graph.adapters.memory.calls import MemoryCalls
from graph.calls import Caller, Whose, caller, calling
from graph.errors import BadProject, PermanentFailure, Unavailable
from graph.llm.chat import Claude
from graph.llm.failures import backoff, jittered
from graph.llm.router import Call, call_of
from graph.llm.settings import model_settings
from graph.runtime.models import RunStatus
from graph.signals import CallFailed, RetryLater
from infra.local.messages import MessagesServer
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

GIVEN: dict[str, Any] = {"messages": [("user", "Hello")]}
MODEL = "claude-haiku-5-5"

Set = Callable[..., None]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Set:
    def put(**minute: int) -> None:
        monkeypatch.setenv("BATON_MODEL_LIMITS", json.dumps({"claude-haiku": minute}))

    return put


async def write() -> AIMessage:
    return await Claude().ainvoke("Hello")


async def think(state: MessagesState) -> Any:
    return {"messages": [await Claude().ainvoke(state["messages"])]}


def graph(node: Any = think) -> Any:
    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()


def step(store: Any, **changes: Any) -> Any:
    return calling(Caller(store, Whose("owner", "thread", "run", 0), **changes))


def buckets(driven: Driver) -> dict[str, Any]:
    return driven.store.tables.model_calls.buckets


async def test_without_limits_the_database_is_asked_nothing(offline: MessagesServer) -> None:
    driven = Driver(graph())
    assert (await driven.run(GIVEN)).status is RunStatus.SUCCESS
    assert buckets(driven) == {}


async def test_a_dry_bucket_ends_the_step_and_the_run_comes_back(
    offline: MessagesServer, limits: Set
) -> None:
    limits(requests=5)  # one at once, and one more every fifteen seconds

    async def twice(state: MessagesState) -> None:
        await write()
        if offline.counts["/v1/messages"] < 3:
            await write()

    driven = Driver(graph(twice))
    began = driven.clock.now
    assert (await driven.run(GIVEN)).status is RunStatus.SUCCESS
    assert driven.outcomes.count("later") == 2
    assert (driven.clock.now - began).total_seconds() >= 30
    assert offline.counts["/v1/messages"] == 3


async def test_a_call_is_settled_for_what_it_used(scripted: list[Any], limits: Set) -> None:
    usage = {"input_tokens": 700, "output_tokens": 50, "cache_read_input_tokens": 9000}
    scripted += [{"model": MODEL, "usage": usage}]
    limits(requests=100, input_tokens=100_000, output_tokens=50_000)
    driven = Driver(graph())
    await driven.run(GIVEN)
    ((name, bucket),) = buckets(driven).items()
    assert bucket.room == pytest.approx((20 - 1, 20_000 - 700, 10_000 - 50))
    assert name.endswith(":claude-haiku")


async def test_no_key_is_stored(
    offline: MessagesServer, limits: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEYS", "secret-one, secret-two")
    limits(requests=5)
    driven = Driver(graph())
    for _ in range(2):
        await driven.run(GIVEN)
    assert "later" not in driven.outcomes  # each key has a bucket of its own
    assert len(buckets(driven)) == 2
    assert not any("secret" in name for name in buckets(driven))
    digest = hashlib.sha256(f"anthropic {offline.url} secret-one".encode()).hexdigest()
    assert f"{digest[:16]}:claude-haiku" in buckets(driven)


async def test_a_key_that_is_refused_rests_as_long_as_the_api_says(
    offline: MessagesServer, limits: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEYS", "one two")
    limits(requests=1000)
    offline.fail_next(429, retry_after=60)
    driven = Driver(graph())
    await driven.run(GIVEN)
    assert driven.outcomes == ["later", "done"]
    paused = [bucket for bucket in buckets(driven).values() if bucket.paused_until.year > 1]
    assert len(paused) == 1


async def test_an_overload_is_no_fault_of_the_key(offline: MessagesServer, limits: Set) -> None:
    limits(requests=1000)
    offline.fail_next(529, retry_after=60)
    driven = Driver(graph())
    await driven.run(GIVEN)
    assert [bucket.paused_until.year for bucket in buckets(driven).values()] == [1]


async def test_the_background_leaves_room(offline: MessagesServer, limits: Set) -> None:
    limits(requests=50)  # ten at once, of which the background leaves three
    store = Driver(graph()).store
    with step(store, background=True):
        for _ in range(7):
            await write()
        with pytest.raises(RetryLater):
            await write()
    with step(store):
        await write()


@pytest.mark.parametrize(
    ("metadata", "asked", "background"),
    [
        ({}, {}, False),
        ({"cron_id": "c"}, {}, True),
        ({}, {"priority": "background"}, True),
        ({}, {"priority": "interactive"}, False),
        ({}, {"batch": True}, True),
    ],
)
async def test_what_runs_in_the_background(
    metadata: dict[str, Any], asked: dict[str, Any], background: bool
) -> None:
    seen: list[bool] = []

    async def look(state: MessagesState) -> None:
        step = caller()
        assert step
        seen.append(step.background)

    driven = Driver(graph(look))
    run = await driven.ask(GIVEN, config={"configurable": asked})
    driven.store.tables.update_run(run.run_id, metadata=metadata)
    await driven.drain()
    assert seen == [background]


@pytest.mark.parametrize(
    "asked", [{"priority": "background"}, {"batch": "yes"}, {"priority": 3}, {"batch": 1}]
)
async def test_how_a_run_calls_is_checked_when_it_is_accepted(asked: dict[str, Any]) -> None:
    from graph.errors import BadInput
    from graph.runtime.models import NewRun
    from graph.runtime.runs import checked

    kwargs = {"config": {"configurable": asked}}
    new = NewRun("r", "thread", "owner", "graph", "graph", kwargs)
    if asked == {"priority": "background"}:
        assert checked(Driver(graph()).rt, new).kwargs == kwargs
        return
    with pytest.raises(BadInput, match=r"config\.configurable\.(batch|priority)"):
        checked(Driver(graph()).rt, new)


async def test_a_limit_that_is_nearly_reached_is_logged(
    offline: MessagesServer, limits: Set, caplog: pytest.LogCaptureFixture
) -> None:
    limits(requests=50)
    with step(Driver(graph()).store):
        for _ in range(7):
            await write()
        assert "nearly reached" not in caplog.text
        await write()
    (record,) = [r for r in caplog.records if "nearly reached" in r.message]
    assert vars(record)["limit_used"] == pytest.approx(0.8, abs=0.01)


async def test_a_bucket_that_cannot_be_settled_loses_no_answer(
    offline: MessagesServer, limits: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any, **__: Any) -> None:
        raise Unavailable("no database")

    monkeypatch.setattr(MemoryCalls, "settle", gone)
    limits(requests=50)
    with step(Driver(graph()).store):
        assert (await write()).text


@pytest.mark.parametrize("status", [429, 529, 500])
async def test_after_failures_in_a_row_another_model_is_asked(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("BATON_MODEL_FALLBACK", "claude-sonnet-5-5")
    offline.fail_next(status, times=3)
    driven = Driver(graph())
    assert (await driven.run(GIVEN)).status is RunStatus.SUCCESS
    models = [sent["model"] for sent in offline.received]
    assert models == [MODEL] * 3 + ["claude-sonnet-5-5"]
    await driven.run(GIVEN)  # and the first one again, once a step went well
    assert offline.received[-1]["model"] == MODEL


async def test_failures_have_an_end(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL_FAILURES", "4")
    offline.fail_next(500, times=9)
    run = await Driver(graph()).run(GIVEN)
    assert run.error
    assert "4 calls failed one after the other, the last: api_error" in run.error["message"]
    assert offline.counts["/v1/messages"] == 4


def test_waits_grow_and_differ() -> None:
    waits = [{backoff(n) for _ in range(20)} for n in (0, 1, 2, 50)]
    assert all(len(some) == 20 for some in waits)
    assert [max(some) <= longest for some, longest in zip(waits, (4, 8, 16, 300), strict=True)]
    assert min(waits[3]) >= 150
    assert 10 < jittered(10) <= 12.5


async def test_a_call_that_fails_costs_its_request_and_no_tokens(
    offline: MessagesServer, limits: Set
) -> None:
    limits(requests=100, output_tokens=50_000)
    offline.fail_next(529)
    driven = Driver(graph())
    with step(driven.store), pytest.raises(CallFailed):
        await write()
    (bucket,) = buckets(driven).values()
    assert (bucket.room[0], bucket.room[2]) == (19, 10_000)


@pytest.mark.parametrize("value", ["{", '{"m": {"request": 3}}', '{"m": {"requests": 0}}'])
def test_limits_that_cannot_be_understood_are_named(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BATON_MODEL_LIMITS", value)
    with pytest.raises(BadProject, match="BATON_MODEL_LIMITS"):
        model_settings()


def test_the_longest_name_that_fits_has_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"claude": {"requests": 1}, "claude-haiku": {"requests": 2}}
    monkeypatch.setenv("BATON_MODEL_LIMITS", json.dumps(both))
    found = [model_settings().limit(name) for name in ("claude-haiku-5-5", "claude-x", "llama")]
    assert [f and (f[0], f[1].requests) for f in found] == [
        ("claude-haiku", 2),
        ("claude", 1),
        None,
    ]


def test_a_call_is_measured_before_it_is_made() -> None:
    call: Call = call_of(MODEL, {"max_tokens": 1000, "messages": "x" * 4000})
    assert call.likely_input == pytest.approx(1000, rel=0.02)
    assert call.most.input_tokens == pytest.approx(2000, rel=0.02)
    assert call.ceiling.usd == call.most.usd
    assert call_of("llama", {"max_tokens": 1}).unpriced == "llama"


async def test_a_fan_out_waits_its_turn_and_all_of_it_is_done(
    offline: MessagesServer, limits: Set
) -> None:
    limits(requests=50)

    async def work(state: Any) -> Any:
        await asyncio.sleep(0)
        return {"messages": [("ai", (await write()).text)]}

    built = StateGraph(MessagesState).add_node("work", work)
    built.add_conditional_edges(START, lambda _: [Send("work", {})] * 25, ["work"])
    driven = Driver(built.compile())
    assert (await driven.run(GIVEN)).status is RunStatus.SUCCESS
    assert len((await driven.values())["messages"]) == 26
    assert offline.counts["/v1/messages"] == 25  # what was done is not done again


async def test_an_unknown_error_of_the_api_fails_the_run(offline: MessagesServer) -> None:
    offline.fail_next(400)
    run = await Driver(graph()).run(GIVEN)
    assert run.error
    assert run.error["error"] == "BadRequestError"
    assert PermanentFailure.__name__ != run.error["error"]
