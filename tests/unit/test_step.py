"""What if the process dies here, what if the message comes twice, what if a node wants to wait."""

import asyncio
import operator
import time
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from graph import RetryLater, effect_key
from graph.errors import PermanentFailure
from graph.runtime.checkpoints import config_of
from graph.runtime.models import Claim, RunStatus, ThreadStatus
from tests.contracts.builders import claim_one
from tests.fixtures.around import around
from tests.fixtures.driver import OWNER, Driver


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    n: int


class Died(BaseException):
    """The process was killed."""


CUTS = ["before claim", "after claim", "after the node's effect", "after save", "after send"]


def three_steps(effects: list[str]) -> Any:
    def node(name: str) -> Any:
        def run(state: State) -> State:
            effects.append(effect_key())
            return {"log": [name]}

        return run

    graph = StateGraph(State)
    for name in ("a", "b", "c"):
        graph.add_node(name, node(name))
    return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c").compile()


def dies_once_at(driver: Driver, cut: str, seq: int) -> list[str]:
    """Kill the process at a cut point of one step, the first time it comes there."""
    died: list[str] = []
    claimed, saved = [-1], [-1]

    async def noting_claim(claim: Any, jobs: Any, **kwargs: Any) -> Any:
        claimed.extend(job.seq for job, _ in jobs)
        return await claim(jobs, **kwargs)

    async def noting_advance(advance: Any, mine: Claim, *given: Any, **kwargs: Any) -> Any:
        saved.append(mine.seq)
        advanced = await advance(mine, *given, **kwargs)
        claimed.extend([advanced.claim.seq] if advanced.claim else [])
        return advanced

    async def die(name: str) -> None:
        coming = {"before claim": claimed[-1] + 1, "after save": saved[-1], "after send": saved[-1]}
        if name == cut and coming.get(name, claimed[-1]) == seq and not died:
            died.append(name)
            raise Died

    around(driver.store.claim, noting_claim)
    around(driver.store.advance, noting_advance)
    driver.rt = replace(driver.rt, cut=die)
    return died


@pytest.mark.parametrize("inline", [1, 2, 3])
@pytest.mark.parametrize("seq", [0, 1, 2])
@pytest.mark.parametrize("cut", CUTS)
async def test_a_process_that_dies_at_any_point_loses_and_doubles_nothing(
    cut: str, seq: int, inline: int
) -> None:
    effects: list[str] = []
    driver = Driver(three_steps(effects), steps_per_invocation=inline)
    died = dies_once_at(driver, cut, seq)
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    while job:
        try:
            await driver.deliver(job)
        except Died:  # the queue delivers it again
            driver.clock.move(40)
            job = replace(job, redelivered=True)
            continue
        job = await driver.queue.receive()
        if job is None and driver.queue.sent:
            driver.clock.now = min(sent.due for sent in driver.queue.sent)
            job = await driver.queue.receive()

    first, last = seq % inline == 0, seq % inline == inline - 1 or seq == 2  # of an invocation's
    assert bool(died) == {"before claim": first, "after send": last}.get(cut, True)
    assert await driver.values() == {"log": ["a", "b", "c"]}
    assert (await driver.thread()).status is ThreadStatus.IDLE
    assert set(effects) == {f"thread:{i}:pull.{n}" for i, n in enumerate("abc")}
    steps = [
        s.metadata["step"]
        async for s in driver.saved.aget_state_history(config_of("thread", "", None))
    ]
    assert steps == [3, 2, 1, 0, -1]


async def test_a_worker_that_outlived_its_lease_writes_nothing() -> None:
    driver = Driver(three_steps([]))
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None

    async def frozen(name: str) -> None:
        if name != "after the node's effect" or driver.clock().year > 2026:
            return
        driver.clock.move(366 * 86400)  # the process wakes up long after its lease
        await driver.deliver(replace(job, redelivered=True))

    driver.rt = replace(driver.rt, cut=frozen)
    outcome = await driver.deliver(job)

    assert outcome == "lost"
    assert driver.outcomes == ["more", "lost"]
    assert await driver.values() == {"log": ["a"]}
    assert (await driver.thread()).seq == 1


async def test_a_lone_duplicate_does_not_ring_again() -> None:
    driver = Driver(three_steps([]))
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    await driver.deliver(job)
    sent = len(driver.queue.sent)
    assert await driver.deliver(job) == "duplicate"
    assert len(driver.queue.sent) == sent
    assert await driver.deliver(replace(job, redelivered=True)) == "duplicate"
    assert len(driver.queue.sent) == sent + 1


async def test_several_steps_in_an_invocation_ring_once() -> None:
    driver = Driver(three_steps([]), steps_per_invocation=2)
    await driver.run({"log": []})
    assert driver.outcomes == ["more", "done"]
    assert await driver.values() == {"log": ["a", "b", "c"]}
    assert (await driver.thread()).seq == 3


async def test_an_invocation_that_has_run_long_begins_no_further_step() -> None:
    driver = Driver(three_steps([]), steps_per_invocation=3)
    driver.rt = replace(driver.rt, inline_seconds=0.0)
    await driver.run({"log": []})
    assert driver.outcomes == ["more", "more", "done"]


async def test_a_redelivered_message_waits_for_the_lease_its_dead_sender_took_inline() -> None:
    driver = Driver(three_steps([]), steps_per_invocation=2)
    await driver.ask({"log": []})
    first = await driver.queue.receive()
    assert first is not None
    driver.rt = replace(driver.rt, steps_per_invocation=1)
    await driver.deliver(first)
    second = await driver.queue.receive()
    assert second is not None
    await claim_one(driver.store, second, lease=20)  # and dies
    driver.rt = replace(driver.rt, steps_per_invocation=2)
    await driver.deliver(replace(first, redelivered=True))

    copy = driver.queue.sent[0]
    assert copy.job == replace(first, redelivered=True)
    assert (copy.due - driver.clock()).total_seconds() == pytest.approx(20)
    await driver.drain()
    assert (await driver.thread()).status is ThreadStatus.IDLE


async def test_a_busy_message_comes_back_when_the_lease_is_over() -> None:
    driver = Driver(three_steps([]))
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    await claim_one(driver.store, job, lease=20)

    assert await driver.deliver(job) == "busy"
    copy = driver.queue.sent[0]
    assert copy.job == replace(job, redelivered=True)
    assert (copy.due - driver.clock()).total_seconds() == pytest.approx(20)


async def test_a_step_whose_every_attempt_died_ends_the_run() -> None:
    driver = Driver(three_steps([]))
    run = await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    for _ in range(driver.rt.max_attempts):
        await claim_one(driver.store, job, lease=1)
        driver.clock.move(2)
    await driver.deliver(job)

    run = await driver.store.get_run(run.run_id, "thread", OWNER)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert "tried 3 times" in run.error["message"]


async def test_finished_siblings_are_kept_when_another_kills_the_process() -> None:
    ran: list[str] = []
    deadly = [True]

    async def item(state: State) -> State:
        ran.append(str(state["n"]))
        if state["n"] == 2:
            await asyncio.sleep(0.05)
            if deadly:
                deadly.clear()
                raise Died
        return {"log": [f"item {state['n']}"]}

    graph = StateGraph(State).add_node("item", item)
    graph.add_conditional_edges(START, lambda s: [Send("item", {"n": i}) for i in range(3)])
    driver = Driver(graph.compile())
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    with pytest.raises(Died):
        await driver.deliver(job)
    driver.clock.move(40)
    await driver.deliver(replace(job, redelivered=True))
    await driver.drain()

    assert sorted(ran) == ["0", "1", "2", "2"]
    assert await driver.values() == {"log": ["item 0", "item 1", "item 2"]}


async def test_retry_later_waits_without_an_invocation_and_keeps_its_key_and_siblings() -> None:
    keys: list[str] = []
    ran: list[str] = []

    def limited(state: State) -> State:
        try:
            keys.append(effect_key())
            if len(keys) < 3:
                raise RetryLater(90, "rate limit")
        except ValueError:
            pass
        return {"log": ["limited"]}

    def sibling(state: State) -> State:
        ran.append("sibling")
        return {"log": ["sibling"]}

    graph = StateGraph(State).add_node("limited", limited).add_node("sibling", sibling)
    driver = Driver(graph.add_edge(START, "limited").add_edge(START, "sibling").compile())
    began = time.monotonic()
    run = await driver.run({"log": []})

    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["limited", "sibling"]}
    assert keys == ["thread:0:pull.limited"] * 3
    assert ran == ["sibling"]
    assert driver.outcomes == ["later", "later", "done"]
    assert time.monotonic() - began < 5


async def test_an_early_message_for_a_waiting_step_does_not_wake_it() -> None:
    def later(state: State) -> State:
        raise RetryLater(500)

    driver = Driver(StateGraph(State).add_node("n", later).add_edge(START, "n").compile())
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    assert await driver.deliver(job) == "later"
    assert await driver.deliver(job) == "asleep"
    assert (await driver.thread()).status is ThreadStatus.BUSY


async def test_an_answer_survives_a_retry_after_it_and_is_given_once() -> None:
    tries: list[int] = []

    def asks(state: State) -> State:
        first = interrupt("one?")
        tries.append(1)
        if len(tries) == 1:
            raise RetryLater(5)
        return {"log": [first, interrupt("two?")]}

    driver = Driver(StateGraph(State).add_node("asks", asks).add_edge(START, "asks").compile())
    await driver.run({"log": []})
    run = await driver.run(command={"resume": "1"})
    assert run.status is RunStatus.INTERRUPTED
    run = await driver.run(command={"resume": "2"})
    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["1", "2"]}


async def test_an_answer_is_given_once_when_the_process_dies_beside_a_finished_sibling() -> None:
    deadly = [True]

    async def asks(state: State) -> State:
        answers = [interrupt("one?")]
        await asyncio.sleep(0.05)
        if deadly:
            deadly.clear()
            raise Died
        return {"log": [*answers, interrupt("two?")]}

    graph = StateGraph(State).add_node("asks", asks).add_node("quick", lambda s: {"log": ["q"]})
    graph.add_node("first", lambda s: Command(goto=["asks", "quick"])).add_edge(START, "first")
    driver = Driver(graph.compile())
    await driver.run({"log": []})
    await driver.ask(command={"resume": "1"})
    job = await driver.queue.receive()
    assert job is not None
    with pytest.raises(Died):
        await driver.deliver(job)
    driver.clock.move(40)
    await driver.deliver(replace(job, redelivered=True))
    assert (await driver.thread()).status is ThreadStatus.INTERRUPTED
    run = await driver.run(command={"resume": "2"})

    assert run.status is RunStatus.SUCCESS
    assert sorted((await driver.values())["log"]) == ["1", "2", "q"]


async def test_a_nested_graph_goes_on_in_the_next_invocation_when_time_runs_out() -> None:
    keys: list[str] = []

    async def slow(state: State) -> State:
        keys.append(effect_key())
        await asyncio.sleep(0.12)
        return {"log": [f"slow {state.get('n', 0)}"], "n": state.get("n", 0) + 1}

    inner = StateGraph(State).add_node("slow", slow).add_edge(START, "slow")
    inner.add_conditional_edges("slow", lambda s: "slow" if s["n"] < 6 else "__end__")
    graph = StateGraph(State).add_node("inner", inner.compile()).add_edge(START, "inner")
    driver = Driver(graph.compile(), time_left=0.5)
    run = await driver.run({"log": []})

    assert run.status is RunStatus.SUCCESS, run.error
    assert "partial" in driver.outcomes
    assert (await driver.values())["log"] == [f"slow {i}" for i in range(6)]
    assert len(set(keys)) == 6  # a step that was cut off has the same key when it runs again
    assert (await driver.thread()).seq == 1


async def test_a_step_that_outlasts_every_invocation_ends_as_timeout() -> None:
    async def hangs(state: State) -> State:
        await asyncio.sleep(30)
        return {}

    graph = StateGraph(State).add_node("hangs", hangs).add_edge(START, "hangs").compile()
    driver = Driver(graph, time_left=0.3)
    run = await driver.run({"log": ["in"]})
    assert run.status is RunStatus.TIMEOUT
    assert run.error is not None
    assert "outlasted" in run.error["message"]
    assert driver.outcomes == ["again", "again", "timeout"]
    assert await driver.values() == {"log": ["in"]}


async def test_a_step_that_was_too_slow_once_is_tried_again() -> None:
    keys: list[str] = []

    async def slow_at_first(state: State) -> State:
        keys.append(effect_key())
        await asyncio.sleep(30 if len(keys) == 1 else 0)
        return {"log": ["done"]}

    graph = StateGraph(State).add_node("slow", slow_at_first).add_edge(START, "slow").compile()
    driver = Driver(graph, time_left=0.3)
    run = await driver.run({"log": ["in"]})
    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["in", "done"]}
    assert len(set(keys)) == 1


async def test_a_permanent_failure_is_an_error_with_its_name() -> None:
    def gives_up(state: State) -> State:
        raise PermanentFailure("the order is gone")

    driver = Driver(StateGraph(State).add_node("n", gives_up).add_edge(START, "n").compile())
    run = await driver.run({"log": []})
    assert run.error == {"error": "PermanentFailure", "message": "the order is gone"}


async def test_runs_on_one_thread_take_their_turns() -> None:
    driver = Driver(three_steps([]))
    first = await driver.ask({"log": ["1"]})
    second = await driver.ask({"log": ["2"]})
    await driver.drain()

    assert await driver.values() == {"log": ["1", "a", "b", "c", "2", "a", "b", "c"]}
    for run in (first, second):
        got = await driver.store.get_run(run.run_id, "thread", OWNER)
        assert got.status is RunStatus.SUCCESS


async def test_a_cancelled_run_stops_and_the_next_starts_with_keys_of_its_own() -> None:
    effects: list[str] = []
    driver = Driver(three_steps(effects))
    first = await driver.ask({"log": ["1"]})
    job = await driver.queue.receive()
    assert job is not None
    claim_and_cancel = [True]

    async def cancel(name: str) -> None:
        if name == "after the node's effect" and claim_and_cancel:
            claim_and_cancel.clear()
            await driver.store.cancel_run(first.run_id, "thread", OWNER)

    driver.rt = replace(driver.rt, cut=cancel)
    assert await driver.deliver(job) == "lost"
    second = await driver.run({"log": ["2"]})

    assert second.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["2", "a", "b", "c"]}
    assert len(effects) == len(set(effects))


async def test_effect_keys_tell_nested_and_fanned_out_tasks_apart() -> None:
    keys: list[str] = []

    def inner_node(state: State) -> State:
        keys.append(effect_key())
        return {"n": state.get("n", 0) + 1}

    inner = StateGraph(State).add_node("twice", inner_node).add_edge(START, "twice")
    inner.add_conditional_edges("twice", lambda s: "twice" if s["n"] % 10 < 2 else "__end__")
    graph = StateGraph(State).add_node("inner", inner.compile())
    graph.add_conditional_edges(START, lambda s: [Send("inner", {"n": 10 * i}) for i in range(3)])
    driver = Driver(graph.compile())

    deadly = [True]

    async def die(name: str) -> None:
        if name == "after the node's effect" and deadly:
            deadly.clear()
            raise Died

    driver.rt = replace(driver.rt, cut=die)
    await driver.ask({"n": 0})
    job = await driver.queue.receive()
    assert job is not None
    with pytest.raises(Died):
        await driver.deliver(job)
    driver.clock.move(40)
    first, keys[:] = set(keys), []
    await driver.deliver(replace(job, redelivered=True))

    assert len(first) == 6
    assert set(keys) <= first  # finished siblings may not have to run again


def test_an_effect_key_outside_a_node_is_refused() -> None:
    with pytest.raises(RuntimeError):
        effect_key()
