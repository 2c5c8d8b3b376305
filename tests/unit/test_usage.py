"""Usage: each model call is noted where it is made, and stored with the step that made it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send

from graph import RetryLater
from graph.errors import LostClaim
from graph.llm.chat import Claude
from graph.runtime.models import Claim, RunStatus
from graph.usage import Spent, Totals, noting
from infra.local.messages import MessagesServer
from tests.fixtures.around import around
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

GIVEN: dict[str, Any] = {"messages": [("user", "Hello")]}
HAIKU = {
    "model": "claude-haiku-5-5",
    "usage": {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 200},
}


async def think(state: MessagesState) -> Any:
    return {"messages": [await Claude().ainvoke(state["messages"])]}


async def write() -> AIMessage:
    return await Claude().ainvoke("Hello")


def graph(*nodes: Any) -> Any:
    built = StateGraph(MessagesState)
    before = START
    for node in nodes:
        built.add_node(node.__name__, node).add_edge(before, node.__name__)
        before = node.__name__
    return built.compile()


def rows(driven: Driver) -> list[Any]:
    return driven.store.tables.calls


async def test_a_call_says_what_it_took(scripted: list[Any]) -> None:
    scripted += [HAIKU]
    with noting() as spent:
        await write()
    (call,) = spent
    assert (call.model, call.node) == ("claude-haiku-5-5", "")
    assert (call.input_tokens, call.cached_tokens, call.output_tokens) == (1200, 200, 100)
    assert str(call.usd) == "0.000152"
    assert call.ms >= 0


async def test_a_step_stores_its_calls_with_where_and_whose_they_were(scripted: list[Any]) -> None:
    scripted += [HAIKU, HAIKU]

    async def again(state: MessagesState) -> Any:
        await write()

    driven = Driver(graph(think, again), deliveries=2)
    run = await driven.run(GIVEN)
    assert [
        (r.owner, r.thread_id, r.run_id, r.seq, r.spent.node, r.lost) for r in rows(driven)
    ] == [
        (OWNER, "thread", run.run_id, 0, "think", False),
        (OWNER, "thread", run.run_id, 1, "again", False),
    ]
    assert run.spent == (await driven.thread()).spent
    assert (run.spent.calls, run.spent.tokens, str(run.spent.usd)) == (2, 2600, "0.000304")


async def test_tasks_at_once_and_calls_in_a_thread_of_their_own_are_noted(
    offline: MessagesServer,
) -> None:
    async def work(state: Any) -> None:
        await asyncio.gather(write(), write())

    def fan_out(_: Any) -> list[Send]:
        return [Send("work", {}) for _ in range(3)]

    built = StateGraph(MessagesState).add_node("work", work)
    built.add_conditional_edges(START, fan_out, ["work"])
    driven = Driver(built.compile())
    run = await driven.run(GIVEN)
    assert run.status is RunStatus.SUCCESS
    assert run.spent.calls == offline.counts["/v1/messages"] == 6


async def test_what_a_failed_node_spent_is_stored(offline: MessagesServer) -> None:
    async def fail(state: MessagesState) -> None:
        await write()
        raise ValueError("after the call")

    driven = Driver(graph(fail))
    run = await driven.run(GIVEN)
    assert run.status is RunStatus.ERROR
    assert run.spent.calls == 1


async def test_what_a_node_spent_before_it_waits_is_stored_each_time(
    offline: MessagesServer,
) -> None:
    async def wait(state: MessagesState) -> None:
        await write()
        if offline.counts["/v1/messages"] < 3:
            raise RetryLater(5)

    driven = Driver(graph(wait))
    run = await driven.run(GIVEN)
    assert driven.outcomes.count("later") == 2
    assert run.spent.calls == 3


async def test_a_call_that_broke_off_is_stored_with_what_had_come(offline: MessagesServer) -> None:
    offline.fail_next(529, mid_stream=True)
    driven = Driver(graph(think))
    run = await driven.run(GIVEN)
    assert run.status is RunStatus.SUCCESS
    first, second = (row.spent for row in rows(driven))
    assert first.input_tokens == second.input_tokens > 0
    assert first.output_tokens < second.output_tokens


async def test_a_call_that_was_refused_at_the_door_spent_nothing(offline: MessagesServer) -> None:
    offline.fail_next(429, retry_after=1)
    driven = Driver(graph(think))
    assert (await driven.run(GIVEN)).spent.calls == 1
    assert offline.counts["/v1/messages"] == 2


async def test_what_a_lost_attempt_spent_is_stored_as_lost(offline: MessagesServer) -> None:
    async def at_first_lost(advance: Any, claim: Claim, *given: Any, **named: Any) -> Any:
        if claim.attempts == 1:
            raise LostClaim("as told")
        return await advance(claim, *given, **named)

    driven = Driver(graph(think))
    around(driven.store.advance, at_first_lost)
    run = await driven.ask(GIVEN)
    job = await driven.queue.receive()
    assert job is not None
    assert await driven.deliver(job) == "lost"
    driven.clock.move(60)
    assert await driven.deliver(replace(job, redelivered=True)) == "done"
    assert [row.lost for row in rows(driven)] == [True, False]
    run = await driven.store.get_run(run.run_id, "thread", OWNER)
    assert run.spent.calls == (await driven.thread()).spent.calls == 2


async def test_outside_a_step_calls_are_made_all_the_same(offline: MessagesServer) -> None:
    assert (await write()).text


async def test_calls_of_two_steps_at_once_are_told_apart(offline: MessagesServer) -> None:
    async def one() -> Sequence[Spent]:
        with noting() as spent:
            await write()
            await asyncio.sleep(0)
            await write()
        return spent

    for spent in await asyncio.gather(one(), one(), one()):
        assert len(spent) == 2


def test_totals_start_at_nothing() -> None:
    assert Totals() + Totals() == Totals()


@pytest.mark.parametrize("asked", ["runs", "threads"])
async def test_the_api_tells_it(asked: str) -> None:
    from functions.api.answers import run_json, thread_json

    driven = Driver(graph(noop))
    run = await driven.run(GIVEN)
    told = run_json(run) if asked == "runs" else await thread_json(driven.rt, await driven.thread())
    assert told["usage"] == {"model_calls": 0, "tool_calls": 0, "tokens": 0, "usd": 0.0}


async def noop(state: MessagesState) -> None:
    return None
