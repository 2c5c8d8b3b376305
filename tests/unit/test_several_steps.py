"""Several steps of an invocation are one stream; each leaves what it leaves alone."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import CachePolicy, Send, interrupt

from graph import RetryLater, effect_key
from graph.budgets import check
from graph.errors import Unavailable
from graph.recording import Call, record
from graph.runtime.checkpoints import Checkpoints
from graph.runtime.codec import RECORD
from graph.runtime.models import Claim, RunStatus, ThreadStatus
from graph.usage import Spent, note
from tests.fixtures.around import around
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.lists_graph import WORDS, lists_graph
from tests.unit.test_superstep_shapes import SHAPES, State, says

MANY = 100
OWN = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|[0-9]{4}-[0-9T:.-]{10,}[+0-9:]*")
FOLLOWED = ["values", "updates", "tasks", "messages-tuple", "checkpoints"]


def chain(node: Callable[[str], Any], *names: str) -> Any:
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name, node(name))
    graph.add_edge(START, names[0])
    for before, after in pairwise(names):
        graph.add_edge(before, after)
    return graph.compile()


def cached() -> Any:
    """What comes round again is answered by a cache, without a task."""
    graph = StateGraph(State).add_node("a", lambda s: {"log": ["a"], "n": 1})
    for name in ("b", "c"):
        policy = CachePolicy(key_func=lambda s: "always")
        graph.add_node(name, lambda s: {"log": ["cached"]}, cache_policy=policy)
    graph.add_node("d", says("d")).add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    graph.add_edge(["b", "c"], "d")
    graph.add_conditional_edges("d", lambda s: "a" if len(s["log"]) < 9 else END)
    return graph.compile(cache=InMemoryCache())


def pushes() -> Any:
    """Every superstep but the last sends."""
    graph = StateGraph(State).add_node("one", lambda s: {"log": [str(s["n"])]})
    graph.add_node("two", lambda s: {"log": ["two"]}).add_edge("one", "two")
    graph.add_conditional_edges(START, lambda s: [Send("one", {"n": n}) for n in range(3)])
    return graph.compile()


def refuses_late() -> Any:
    return chain(lambda name: broken if name == "c" else says(name), "a", "b", "c", "d")


def broken(state: State) -> State:
    raise ValueError("no such luck")


def asks_late() -> Any:
    def asking(state: State) -> State:
        return {"log": [interrupt("go on?")]}

    return chain(lambda name: asking if name == "c" else says(name), "a", "b", "c", "d")


MORE_SHAPES = {
    **SHAPES,
    "cached": cached,
    "sent": pushes,
    "refuses late": refuses_late,
    "asks late": asks_late,
    "lists": lists_graph,
}


def plain(value: Any) -> Any:
    """Without the ids and times that every run has of its own."""
    return OWN.sub("id", value if isinstance(value, str) else repr(value))


async def story(driver: Driver) -> list[Any]:
    """All that is stored of the thread's checkpoints and will be read again, oldest first."""
    config: Any = {"configurable": {"thread_id": driver.thread_id}}
    found = [one async for one in Checkpoints(driver.store).alist(config)]
    over = {
        one.parent_config["configurable"]["checkpoint_id"] for one in found if one.parent_config
    }
    return [
        (
            plain(one.config["configurable"]["checkpoint_ns"]),
            {k: plain(v) for k, v in one.metadata.items() if k not in ("fence", "parents")},
            plain(one.checkpoint["channel_values"]),
            plain(one.checkpoint["channel_versions"]),
            sorted(
                plain(write[1:])
                for write in one.pending_writes or ()
                if one.checkpoint["id"] not in over or write[1] == "told"  # a DeltaChannel
            ),
        )
        for one in reversed(found)
    ]


async def told(driver: Driver, run_id: str) -> list[tuple[str, str]]:
    """What the run told; in no order, for tasks at once end as they like."""
    heard = await driver.store.heard({run_id: 0}, limit=10_000)
    return sorted((plain(e.name), plain(e.data.decode())) for of in heard for e in of.events)


def given(shape: str) -> Any:
    if shape != "lists":
        return {"log": ["in"], "n": 0}
    words = [word for word in WORDS if word != "fail"] * 2
    return {"script": [(word, n) for n, word in enumerate(words)], "at": 0}


def followed(shape: str) -> list[str]:
    """Not messages where one id comes twice: LangGraph tells of each once in a stream."""
    return [mode for mode in FOLLOWED if shape != "lists" or mode != "messages-tuple"]


@pytest.mark.parametrize("at_once", [3, MANY])
@pytest.mark.parametrize("shape", MORE_SHAPES)
async def test_steps_taken_together_leave_what_they_leave_alone(shape: str, at_once: int) -> None:
    found = []
    for steps in (1, at_once):
        driver = Driver(MORE_SHAPES[shape](), steps_per_invocation=steps)
        run = await driver.run(given(shape), stream_mode=followed(shape), stream_subgraphs=True)
        found.append((run.status, run.error, await story(driver), await told(driver, run.run_id)))
    alone, together = found
    assert together == alone


def counted(driver: Driver) -> list[str]:
    """What is asked of the store, as it is asked."""
    asked: list[str] = []

    async def counting(method: Any, *given: Any, **kwargs: Any) -> Any:
        asked.append(method.__name__)
        return await method(*given, **kwargs)

    around(driver.store.claim, counting)
    around(driver.store.advance, counting)
    return asked


async def test_an_invocation_claims_once_and_saves_each_step() -> None:
    driver = Driver(chain(says, "a", "b", "c", "d"), steps_per_invocation=3)
    asked = counted(driver)
    assert (await driver.run({"log": []})).status is RunStatus.SUCCESS
    assert asked == ["claim", *["advance"] * 3, "claim", "advance"]
    assert driver.outcomes == ["more", "done"]


async def test_each_step_has_a_key_and_a_fence_of_its_own() -> None:
    keys: list[str] = []

    def acts(name: str) -> Any:
        def act(state: State) -> State:
            keys.append(effect_key())
            return {"log": [name]}

        return act

    driver = Driver(chain(acts, "a", "b", "c"), steps_per_invocation=MANY)
    await driver.run({"log": []})
    assert keys == ["thread:0:pull.a", "thread:1:pull.b", "thread:2:pull.c"]
    marks = [stored.row.metadata for _, stored in await driver.store.history(driver.thread_id, "")]
    seqs, fences = zip(*((m["baton_seq"], m["fence"]) for m in marks[::-1]), strict=True)
    assert seqs == (0, 0, 0, 1, 2)
    assert fences[2] < fences[3] < fences[4]


async def test_a_run_that_is_cancelled_begins_no_further_step() -> None:
    ran: list[str] = []
    driver = Driver(StateGraph(State), steps_per_invocation=MANY)

    def acts(name: str) -> Any:
        async def act(state: State) -> State:
            ran.append(name)
            if name == "b":
                run_id = (await driver.thread()).active_run_id or ""
                await driver.store.cancel_run(run_id, driver.thread_id, OWNER)
            return {"log": [name]}

        return act

    driver.deploy(chain(acts, "a", "b", "c"))
    await driver.run({"log": []})
    assert ran == ["a", "b"]
    assert driver.outcomes == ["lost"]
    assert await driver.values() == {"log": ["a"]}


async def test_a_stopped_store_takes_the_save_and_no_further_step() -> None:
    ran: list[str] = []
    driver = Driver(StateGraph(State), steps_per_invocation=MANY)

    def acts(name: str) -> Any:
        def act(state: State) -> State:
            ran.append(name)
            driver.store.stopped = True
            return {"log": [name]}

        return act

    driver.deploy(chain(acts, "a", "b"))
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    assert await driver.deliver(job) == "more"
    assert ran == ["a"]
    assert [sent.job.seq for sent in driver.queue.sent] == [1]


async def test_a_later_step_that_wants_to_wait_waits_alone() -> None:
    tries: list[str] = []

    def acts(name: str) -> Any:
        def act(state: State) -> State:
            tries.append(name)
            if name == "b" and tries.count("b") == 1:
                raise RetryLater(30)
            return {"log": [name]}

        return act

    driver = Driver(chain(acts, "a", "b", "c"), steps_per_invocation=MANY)
    run = await driver.run({"log": []})
    assert run.status is RunStatus.SUCCESS
    assert tries == ["a", "b", "b", "c"]
    assert driver.outcomes == ["later", "done"]
    assert await driver.values() == {"log": ["a", "b", "c"]}


async def test_a_later_step_that_outlasts_the_invocation_is_tried_again_alone() -> None:
    tries: list[str] = []

    def acts(name: str) -> Any:
        async def act(state: State) -> State:
            tries.append(name)
            if name == "b" and tries.count("b") == 1:
                await asyncio.Event().wait()
            return {"log": [name]}

        return act

    driver = Driver(chain(acts, "a", "b", "c"), steps_per_invocation=MANY, time_left=0.5)
    run = await driver.run({"log": []})
    assert run.status is RunStatus.SUCCESS
    assert tries == ["a", "b", "b", "c"]
    assert driver.outcomes == ["again", "done"]


async def test_a_state_that_cannot_be_stored_fails_the_step_that_made_it() -> None:
    def acts(name: str) -> Any:
        return lambda state: {"log": [object() if name == "b" else name]}

    runs = []
    for steps in (1, MANY):
        driver = Driver(chain(acts, "a", "b", "c"), steps_per_invocation=steps)
        runs.append(await driver.run({"log": []}))
        assert (await driver.values())["log"] == ["a"]
    assert runs[0].status is runs[1].status is RunStatus.ERROR
    assert runs[0].error == runs[1].error


async def test_the_recursion_limit_ends_a_stream_as_it_ends_single_steps() -> None:
    ended = []
    for steps in (1, MANY):
        driver = Driver(SHAPES["cycle"](), steps_per_invocation=steps)
        run = await driver.run({"log": []}, config={"recursion_limit": 3})
        ended.append((run.status, run.error, await story(driver)))
    assert ended[0] == ended[1]
    assert ended[0][0] is RunStatus.ERROR


async def test_breakpoints_stop_a_stream() -> None:
    driver = Driver(chain(says, "a", "b", "c", "d"), steps_per_invocation=MANY)
    stops = {"interrupt_before": ["c"], "interrupt_after": ["a"]}
    logs = []
    inputs: list[Any] = [{"log": []}, None, None]
    for asked in inputs:
        run = await driver.run(asked, **stops)
        logs.append((run.status, (await driver.values())["log"]))
    assert logs == [
        (RunStatus.INTERRUPTED, ["a"]),
        (RunStatus.INTERRUPTED, ["a", "b"]),
        (RunStatus.SUCCESS, ["a", "b", "c", "d"]),
    ]
    assert (await driver.thread()).status is ThreadStatus.IDLE


async def test_a_save_that_is_not_heard_of_is_found_when_its_lease_is_over() -> None:
    driver = Driver(chain(says, "a", "b", "c"), steps_per_invocation=MANY)
    cut_off = [True]

    async def unheard(advance: Any, claim: Claim, *given: Any, **kwargs: Any) -> Any:
        advanced = await advance(claim, *given, **kwargs)
        if claim.seq == 1 and cut_off.pop():
            cut_off.append(False)
            raise Unavailable("the connection broke behind the statement")
        return advanced

    around(driver.store.advance, unheard)
    await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    with pytest.raises(Unavailable):
        await driver.deliver(job)
    await driver.deliver(replace(job, redelivered=True))
    assert [sent.job for sent in driver.queue.sent] == [replace(job, redelivered=True)]
    await driver.drain()
    assert await driver.values() == {"log": ["a", "b", "c"]}
    assert driver.outcomes == ["duplicate", "duplicate", "done"]


def calls(name: str) -> Any:
    """A node that calls a model once."""

    def call(state: State) -> State:
        check(unpriced=None)
        note(Spent(str(uuid4()), name, "claude", 10, 5, 0, Decimal("0.01"), 1))
        record(Call("messages", name, {"of": name}, {}))
        return {"log": [name]}

    return call


async def test_a_ceiling_counts_over_the_steps_of_an_invocation() -> None:
    asked = {"configurable": {"budget": {"model_calls": 2}, "record": True}}
    ended = []
    for steps in (1, MANY):
        driver = Driver(chain(calls, "a", "b", "c", "d"), steps_per_invocation=steps)
        run = await driver.run({"log": []}, config=asked)
        kept = [
            (stored.row.metadata["step"], write.task_id.split(":")[1])
            for _, stored in await driver.store.history(driver.thread_id, "")
            for write in stored.writes
            if write.channel == RECORD
        ]
        spent = [(call.seq, call.spent.node, call.lost) for call in driver.store.tables.calls]
        thread = await driver.thread()
        ended.append((run.status, run.spent, thread.spent, sorted(kept), spent))
    assert ended[0] == ended[1]
    assert ended[0][0] is RunStatus.INTERRUPTED
    assert ended[0][3] == [(0, "0"), (1, "1")]
    assert ended[0][4] == [(0, "a", False), (1, "b", False)]


async def test_a_nodes_own_threads_may_ask_whether_to_stop() -> None:
    told: list[bool] = []

    def acts(name: str) -> Any:
        def act(state: State, runtime: Runtime[Any]) -> State:
            with ThreadPoolExecutor() as threads:
                told.append(threads.submit(lambda: runtime.drain_requested).result())
            return {"log": [name]}

        return act

    for steps in (1, 2, MANY):
        driver = Driver(chain(acts, "a", "b", "c"), steps_per_invocation=steps)
        assert (await driver.run({"log": []})).status is RunStatus.SUCCESS
        assert (await driver.thread()).seq == 3
    assert not any(told)
