"""Runs whose calls a batch answers: asleep meanwhile, never sent twice, at half the price."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send

from graph.calls import Whose
from graph.llm import collecting
from graph.llm.chat import Claude
from graph.runtime.call_upkeep import CallsSwept, sweep_calls
from graph.runtime.models import Run, RunStatus
from graph.usage import Spent
from infra.local.message_batches import PATH
from infra.local.messages import MessagesServer
from tests.fixtures.crashing import Crash
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

GIVEN: dict[str, Any] = {"messages": [("user", "Hello")]}
BATCH: dict[str, Any] = {"config": {"configurable": {"batch": True}}}
HAIKU = {"model": "claude-haiku-5-5", "usage": {"input_tokens": 1000, "output_tokens": 100}}
HALF = Decimal("0.000075")


async def think(state: MessagesState) -> Any:
    return {"messages": [await Claude().ainvoke(state["messages"])]}


def loop_of(*nodes: Any) -> Any:
    built = StateGraph(MessagesState).add_sequence(nodes)
    return built.add_edge(START, nodes[0].__name__).compile()


class Batched(Driver):
    """Driven until nothing is due; the sweep comes when `swept`."""

    async def begin(self, **more: Any) -> Run:
        run = await self.ask(GIVEN, **{**BATCH, **more})
        await self.work()
        return run

    async def work(self) -> None:
        """All that is due now."""
        while job := await self.queue.receive():
            await self.deliver(job)

    async def swept(self) -> int:
        done = await sweep_calls(self.rt, collect=collecting.collect, keep_usage=86400)
        await self.work()
        return done.answered

    async def state(self, run: Run) -> Run:
        return await self.store.get_run(run.run_id, self.thread_id, OWNER)


async def test_a_run_sleeps_until_its_batch_is_answered(scripted: list[Any]) -> None:
    scripted += [HAIKU]
    driven = Batched(loop_of(think))
    run = await driven.begin()
    assert driven.outcomes == ["later"]
    assert await driven.swept() == 0  # sent
    assert await driven.swept() == 1  # fetched
    run = await driven.state(run)
    assert run.status is RunStatus.SUCCESS
    assert driven.outcomes == ["later", "done"]
    assert (run.spent.calls, run.spent.tokens, run.spent.usd) == (1, 1100, HALF)
    assert len((await driven.values())["messages"]) == 2


async def test_a_step_that_is_taken_again_finds_its_call(offline: MessagesServer) -> None:
    offline.batches.held = True
    driven = Batched(loop_of(think))
    run = await driven.begin()
    for _ in range(3):
        await driven.swept()
        driven.clock.move(1000)
        await driven.work()
    assert (await driven.state(run)).status is RunStatus.RUNNING
    assert len(offline.batches.made) == 1
    offline.batches.held = False
    await driven.swept()
    assert (await driven.state(run)).status is RunStatus.SUCCESS
    assert offline.counts["/v1/messages"] == 0


async def test_an_answer_goes_to_the_call_that_asked(offline: MessagesServer) -> None:
    async def each(state: Any) -> Any:
        written = await asyncio.gather(
            *(Claude().ainvoke(f"<question>{state['n']}?</question>") for _ in range(2))
        )
        return {"messages": [("ai", f"{state['n']}: {text.text}") for text in written]}

    sends = [Send("each", {"n": f"apple{n}"}) for n in range(5)]
    built = StateGraph(MessagesState).add_node("each", each)
    built.add_conditional_edges(START, lambda _: sends, ["each"])
    driven = Batched(built.compile())
    run = await driven.begin()
    for _ in range(8):
        await driven.swept()
        driven.clock.move(1000)
        await driven.work()
    run = await driven.state(run)
    assert run.status is RunStatus.SUCCESS
    said = [str(m.content) for m in (await driven.values())["messages"][1:]]
    assert len(said) == 10
    assert all(text.split(":")[0] in text.split(":", 1)[1] for text in said)
    sent = [item for batch in offline.batches.made.values() for item in batch.items]
    assert len(sent) == len({item.custom_id for item in sent}) == run.spent.calls == 10


@pytest.mark.parametrize("outcome", ["expired", "canceled", "errored"])
async def test_what_a_batch_did_not_answer_goes_into_the_next(
    offline: MessagesServer, outcome: str
) -> None:
    offline.batches.outcomes.append(outcome)
    driven = Batched(loop_of(think))
    run = await driven.begin()
    for _ in range(4):
        await driven.swept()
    assert (await driven.state(run)).status is RunStatus.SUCCESS
    assert len(offline.batches.made) == 2


@pytest.mark.parametrize(("outcomes", "batches"), [(["invalid"], 1), (["expired"] * 3, 3)])
async def test_what_no_batch_answers_fails_the_run(
    offline: MessagesServer, outcomes: list[str], batches: int
) -> None:
    offline.batches.outcomes.extend(outcomes)
    driven = Batched(loop_of(think))
    run = await driven.begin()
    for _ in range(6):
        await driven.swept()
    run = await driven.state(run)
    assert run.error
    assert "the batch brought no answer" in run.error["message"]
    assert len(offline.batches.made) == batches


@pytest.mark.parametrize("status", [429, 500])
async def test_a_batch_api_that_is_busy_is_asked_again(
    offline: MessagesServer, status: int
) -> None:
    offline.fail_next(status)
    driven = Batched(loop_of(think))
    run = await driven.begin()
    await driven.swept()
    driven.clock.move(1000)  # whether a 500 took the calls is looked up when nobody is sending
    for _ in range(3):
        await driven.swept()
    assert (await driven.state(run)).status is RunStatus.SUCCESS
    assert len(offline.batches.made) == 1


async def test_a_sender_that_died_after_it_sent_sends_nothing_twice(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = Batched(loop_of(think))
    run = await driven.begin()

    async def dies(keys: Any, batch_id: str) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(driven.store, "batch_sent", dies)
        with pytest.raises(Crash):
            await driven.swept()
    offline.batches.held = True
    monkeypatch.setattr(collecting, "SLACK", collecting.SLACK * 10**6)  # the clocks differ here
    driven.clock.move(1000)
    await driven.swept()
    assert len(offline.batches.made) == 1
    offline.batches.held = False
    for _ in range(2):
        await driven.swept()
    assert (await driven.state(run)).status is RunStatus.SUCCESS
    assert len(offline.batches.made) == 1


async def test_a_batch_that_is_gone_is_sent_again(offline: MessagesServer) -> None:
    driven = Batched(loop_of(think))
    run = await driven.begin()
    await driven.swept()
    offline.batches.made.clear()
    for _ in range(3):
        await driven.swept()
    assert (await driven.state(run)).status is RunStatus.SUCCESS


async def test_bedrock_has_no_batches(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL_PROVIDER", "bedrock")
    driven = Batched(loop_of(think))
    error = (await driven.state(await driven.begin())).error
    assert error
    assert "which Bedrock has not" in error["message"]


async def test_one_request_that_is_refused_does_not_hold_the_others_back(
    offline: MessagesServer,
) -> None:
    bad, good = Batched(loop_of(think), thread_id="bad"), Batched(loop_of(think))
    good.store, good.rt = bad.store, replace(bad.rt, queue=good.queue)
    refused = await bad.begin()
    (call,) = bad.store.tables.model_calls.batch.values()
    call.call = replace(call.call, request={**call.call.request, "max_tokens": 0})
    run = await good.begin()
    for _ in range(3):
        await good.swept()
    assert (await good.state(run)).status is RunStatus.SUCCESS
    error = (await bad.state(refused)).error
    assert error
    assert "the batch was refused" in error["message"]


async def test_calls_at_once_do_not_pass_the_ceiling(scripted: list[Any]) -> None:
    scripted += [HAIKU] * 3

    async def each(state: Any) -> None:
        await Claude().ainvoke("Hello")

    built = StateGraph(MessagesState).add_node("each", each)
    built.add_conditional_edges(START, lambda _: [Send("each", {})] * 9, ["each"])
    driven = Batched(built.compile())
    config = {"configurable": {"batch": True, "budget": {"model_calls": 3}}}
    run = await driven.begin(config=config)
    for _ in range(8):
        await driven.swept()
        driven.clock.move(1000)
        await driven.work()
    run = await driven.state(run)
    assert (run.status, run.spent.calls) == (RunStatus.INTERRUPTED, 3)


async def test_the_sweep_counts_what_dead_processes_spent_and_prunes(
    offline: MessagesServer,
) -> None:
    driven = Batched(loop_of(think))
    run = await driven.ask(GIVEN)
    most = Spent("call", "think", "claude", 10, 20, 0, Decimal(1), 0)
    await driven.store.open_call(Whose(OWNER, driven.thread_id, run.run_id, 0), most)
    nothing = CallsSwept()
    sweep = partial(sweep_calls, driven.rt, collect=collecting.collect, keep_usage=10**9)
    assert await sweep() == nothing
    driven.clock.move(1300)
    assert await sweep() == replace(nothing, charged=1)
    assert (await driven.state(run)).spent.usd == 1
    assert await sweep(keep_usage=-(10**9)) == replace(nothing, usage_pruned=1)
    assert (await driven.state(run)).spent.usd == 1


async def test_the_sweep_asks_nothing_of_anybody_without_batches(offline: MessagesServer) -> None:
    assert await Batched(loop_of(think)).swept() == 0
    assert offline.counts[PATH] == 0
