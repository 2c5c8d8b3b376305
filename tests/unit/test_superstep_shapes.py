"""Every shape of graph gives, one superstep per message, what LangGraph gives in one go."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Overwrite, RetryPolicy, Send, interrupt

from graph import RetryLater
from graph.runtime.models import RunStatus, ThreadStatus
from tests.fixtures.driver import Driver


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    n: int


class Last(TypedDict, total=False):
    """Without a sum: a nested graph hands all that it was given back, and doubles it."""

    log: list[str]
    n: int


def says(name: str) -> Any:
    return lambda state: {"log": [name]}


def count(state: State) -> State:
    return {"log": [f"count {state.get('n', 0)}"], "n": state.get("n", 0) + 1}


def linear() -> Any:
    graph = StateGraph(State).add_node("a", says("a")).add_node("b", says("b"))
    return graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END).compile()


def cycle() -> Any:
    graph = StateGraph(State).add_node("count", count).add_edge(START, "count")
    graph.add_conditional_edges("count", lambda s: "count" if s["n"] < 5 else END)
    return graph.compile()


def conditional() -> Any:
    graph = StateGraph(State).add_node("a", says("a")).add_node("b", says("b"))
    graph.add_conditional_edges(START, lambda s: "b" if s.get("n") else "a")
    return graph.compile()


def fan_out() -> Any:
    graph = StateGraph(State).add_node("item", lambda s: {"log": [f"item {s['n']}"]})
    graph.add_node("join", says("join"))
    graph.add_conditional_edges(START, lambda s: [Send("item", {"n": i}) for i in range(4)])
    return graph.add_edge("item", "join").compile()


def goto() -> Any:
    def a(state: State) -> Command[Any]:
        return Command(update={"log": ["a"]}, goto=[Send("b", {"n": 7}), "c"])

    graph = StateGraph(State).add_node("a", a, destinations=("b", "c")).add_edge(START, "a")
    graph.add_node("b", lambda s: {"log": [f"b {s['n']}"]}).add_node("c", says("c"))
    return graph.compile()


def deferred() -> Any:
    graph = StateGraph(State)
    for name in ("a", "b", "b2"):
        graph.add_node(name, says(name))
    graph.add_node("late", says("late"), defer=True)
    graph.add_edge(START, "a").add_edge(START, "b").add_edge("b", "b2")
    return graph.add_edge("a", "late").add_edge("b2", "late").compile()


def overwritten() -> Any:
    graph = StateGraph(State).add_node("a", says("a"))
    graph.add_node("b", lambda s: {"log": Overwrite(["only b"])})
    return graph.add_edge(START, "a").add_edge("a", "b").compile()


def child(checkpointer: Any = None) -> Any:
    graph = StateGraph(State).add_node("x", says("x")).add_node("y", says("y"))
    return graph.add_edge(START, "x").add_edge("x", "y").compile(checkpointer=checkpointer)


def subgraph(checkpointer: Any = None) -> Any:
    graph = StateGraph(State).add_node("child", child(checkpointer)).add_node("z", says("z"))
    return graph.add_edge(START, "child").add_edge("child", "z").compile()


def subgraph_again() -> Any:
    """A nested graph that remembers, and one within it, come to in three supersteps of a run."""
    inmost = StateGraph(Last).add_node("count", lambda s: {"n": s.get("n", 0) + 1})
    inmost.add_edge(START, "count")
    inner = StateGraph(Last).add_node("in", inmost.compile(checkpointer=True))
    inner.add_node("x", says("x")).add_edge(START, "in")
    inner.add_conditional_edges("in", lambda s: "in" if s["n"] % 2 else "x")
    graph = StateGraph(Last).add_node("inner", inner.compile(checkpointer=True))
    graph.add_node("start", says("start")).add_node("look", says("look")).add_edge(START, "start")
    graph.add_edge("start", "inner").add_edge("inner", "look")
    graph.add_conditional_edges("look", lambda s: "inner" if s["n"] < 5 else END)
    return graph.compile()


def called_subgraph() -> Any:
    inner = child()

    def calls(state: State) -> State:
        return {"log": [inner.invoke({"log": ["inner"]})["log"][-1]]}

    async def acalls(state: State) -> State:
        return {"log": [(await inner.ainvoke({"log": ["inner"]}))["log"][-1]]}

    graph = StateGraph(State).add_node("calls", calls).add_node("acalls", acalls)
    return graph.add_edge(START, "calls").add_edge("calls", "acalls").compile()


def functional() -> Any:
    @task
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    @entrypoint()
    async def flow(given: dict[str, Any]) -> dict[str, Any]:
        doubled = await asyncio.gather(*(double(i) for i in range(3)))
        return {"log": [*given["log"], str(doubled)]}

    return flow


def retried() -> Any:
    failures = iter([True, False] * 10)

    def flaky(state: State) -> State:
        if next(failures):
            raise ConnectionError("flaky")
        return {"log": ["flaky"]}

    policy = RetryPolicy(initial_interval=0.001, jitter=False)
    return (
        StateGraph(State).add_node("f", flaky, retry_policy=policy).add_edge(START, "f").compile()
    )


SHAPES = {
    "linear": linear,
    "cycle": cycle,
    "conditional": conditional,
    "fan-out": fan_out,
    "goto": goto,
    "deferred": deferred,
    "overwritten": overwritten,
    "subgraph": subgraph,
    "subgraph with a checkpointer of its own": lambda: subgraph(checkpointer=True),
    "subgraph with a checkpointer of its own, again": subgraph_again,
    "subgraph without checkpointer": lambda: subgraph(checkpointer=False),
    "subgraph called by nodes": called_subgraph,
    "functional": functional,
    "retried": retried,
}


@pytest.mark.parametrize("deliveries", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_stepped_graph_ends_as_an_unstepped_one(shape: str, deliveries: int) -> None:
    make = SHAPES[shape]
    whole = make().copy({"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "whole"}}
    expected = await whole.ainvoke({"log": ["in"]}, config)
    driver = Driver(make(), deliveries=deliveries)

    run = await driver.run({"log": ["in"]})

    assert run.status is RunStatus.SUCCESS, run.error
    assert await driver.values() == expected
    steps = [o for o in driver.outcomes if o in ("more", "done")]
    supersteps = {s.metadata["step"] for s in [s async for s in whole.aget_state_history(config)]}
    first = 0 if shape == "functional" else 1  # step 0 of a StateGraph takes the input in
    assert len(steps) == len([step for step in supersteps if step >= first])


def asks(*names: str) -> Any:
    def asking(name: str) -> Any:
        return lambda state: {"log": [f"{name}: {interrupt(f'{name}?')}"]}

    graph = StateGraph(State).add_node("end", says("end"))
    for name in names:
        graph.add_node(name, asking(name)).add_edge(START, name)
    return graph.add_edge(list(names), "end").compile()


async def test_an_interrupt_waits_and_its_answer_goes_on() -> None:
    driver = Driver(asks("a"), deliveries=2)

    run = await driver.run({"log": []})
    assert run.status is RunStatus.INTERRUPTED
    thread = await driver.thread()
    assert thread.status is ThreadStatus.INTERRUPTED
    assert [q["value"] for asked in thread.interrupts.values() for q in asked] == ["a?"]

    run = await driver.run(command={"resume": "yes"})
    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["a: yes", "end"]}


async def test_parallel_interrupts_are_answered_by_id_in_any_order() -> None:
    driver = Driver(asks("a", "b"), deliveries=2)
    await driver.run({"log": []})
    ids = {
        q["value"]: q["id"] for asked in (await driver.thread()).interrupts.values() for q in asked
    }

    run = await driver.run(command={"resume": {ids["b?"]: "second"}})
    assert run.status is RunStatus.INTERRUPTED
    left = [q["value"] for asked in (await driver.thread()).interrupts.values() for q in asked]
    assert left == ["a?"]
    run = await driver.run(command={"resume": {ids["a?"]: "first"}})

    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["a: first", "b: second", "end"]}


async def test_two_questions_of_one_node_get_an_answer_each() -> None:
    def both(state: State) -> State:
        return {"log": [interrupt("one?"), interrupt("two?")]}

    driver = Driver(StateGraph(State).add_node("both", both).add_edge(START, "both").compile(), 2)
    await driver.run({"log": []})
    run = await driver.run(command={"resume": "1"})
    assert run.status is RunStatus.INTERRUPTED
    run = await driver.run(command={"resume": "2"})

    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["1", "2"]}


async def test_an_interrupt_inside_a_subgraph_waits_and_goes_on_there() -> None:
    inner = StateGraph(State).add_node("x", says("x"))
    inner.add_node("ask", lambda s: {"log": [interrupt("inner?")]}).add_edge("x", "ask")
    graph = StateGraph(State).add_node("child", inner.add_edge(START, "x").compile())
    driver = Driver(
        graph.add_node("z", says("z")).add_edge(START, "child").add_edge("child", "z").compile()
    )

    assert (await driver.run({"log": []})).status is RunStatus.INTERRUPTED
    assert (await driver.run(command={"resume": "deep"})).status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["x", "deep", "z"]}


async def test_a_nested_graph_that_remembers_runs_again_in_a_later_run() -> None:
    graph = subgraph_again()
    whole = graph.copy({"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "whole"}}
    driver = Driver(graph, deliveries=2)
    for _ in range(2):
        expected = await whole.ainvoke({"log": ["in"], "n": 0}, config)
        assert (await driver.run({"log": ["in"], "n": 0})).status is RunStatus.SUCCESS

    assert await driver.values() == expected


async def test_a_nested_graph_that_remembers_runs_after_a_breakpoint_in_front_of_it() -> None:
    driver = Driver(subgraph_again())
    runs = [await driver.run({"log": [], "n": 0}, interrupt_before=["inner"])]
    while runs[-1].status is RunStatus.INTERRUPTED:
        assert len(runs) <= 4, "the nested graph did not come on"
        runs.append(await driver.run(interrupt_before=["inner"]))

    assert (await driver.values())["n"] == 6


async def test_a_nested_graph_that_remembers_goes_on_where_it_waited() -> None:
    ran: list[str] = []

    def quick(state: State) -> State:
        ran.append("quick")
        return {}

    def slow(state: State) -> State:
        ran.append("slow")
        if ran.count("slow") % 3 == 1:
            raise RetryLater(5)
        interrupt("go on?")
        return {"n": state["n"] + 1}

    inner = StateGraph(State).add_node("quick", quick).add_node("slow", slow)
    inner.add_edge(START, "quick").add_edge("quick", "slow")
    graph = StateGraph(State).add_node("inner", inner.compile(checkpointer=True))
    graph.add_node("look", says("look")).add_edge(START, "inner").add_edge("inner", "look")
    graph.add_conditional_edges("look", lambda s: "inner" if s["n"] < 2 else END)
    driver = Driver(graph.compile(), deliveries=2)
    assert (await driver.run({"n": 0})).status is RunStatus.INTERRUPTED
    for _ in range(2):
        run = await driver.run(command={"resume": "yes"})

    assert run.status is RunStatus.SUCCESS, run.error
    assert ran == ["quick", "slow", "slow", "slow"] * 2


@pytest.mark.parametrize(
    ("breakpoints", "seen"),
    [({"interrupt_before": ["b"]}, ["a"]), ({"interrupt_after": ["b"]}, ["a", "b"])],
)
async def test_static_breakpoints_stop_once_and_nothing_is_skipped(
    breakpoints: dict[str, Any], seen: list[str]
) -> None:
    graph = StateGraph(State)
    for name in ("a", "b", "c"):
        graph.add_node(name, says(name))
    driver = Driver(graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", "c").compile())

    run = await driver.run({"log": []}, **breakpoints)
    assert run.status is RunStatus.INTERRUPTED
    assert await driver.values() == {"log": seen}
    run = await driver.run(None, **breakpoints)

    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["a", "b", "c"]}


async def test_a_raising_node_ends_the_run_and_keeps_the_last_good_state() -> None:
    broken = [True]

    def fails(state: State) -> State:
        if broken[0]:
            raise ValueError("no such luck")
        return {"log": ["b"]}

    graph = StateGraph(State).add_node("a", says("a")).add_node("b", fails)
    driver = Driver(graph.add_edge(START, "a").add_edge("a", "b").compile())
    run = await driver.run({"log": []})
    assert (run.status, run.error) == (
        RunStatus.ERROR,
        {"error": "ValueError", "message": "no such luck"},
    )
    assert (await driver.thread()).status is ThreadStatus.ERROR
    assert await driver.values() == {"log": ["a"]}

    broken[0] = False
    assert (await driver.run(None)).status is RunStatus.SUCCESS  # go on where it broke
    assert await driver.values() == {"log": ["a", "b"]}
    assert (await driver.run({"log": ["again"]})).status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["a", "b", "again", "a", "b"]}


async def test_the_recursion_limit_counts_over_all_messages_of_a_run() -> None:
    graph = StateGraph(State).add_node("n", count).add_edge(START, "n").add_edge("n", "n").compile()
    whole = graph.copy({"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "w"}, "recursion_limit": 6}
    with pytest.raises(RecursionError):
        await whole.ainvoke({"log": []}, config)
    driver = Driver(graph)

    run = await driver.run({"log": []}, config={"recursion_limit": 6})

    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert run.error["error"] == "GraphRecursionError"
    assert await driver.values() == (await whole.aget_state(config)).values


async def test_time_travel_runs_again_from_an_earlier_checkpoint() -> None:
    driver = Driver(linear())
    await driver.run({"log": ["in"]})
    config: Any = {"configurable": {"thread_id": driver.thread_id}}
    history = [s async for s in driver.saved.aget_state_history(config)]
    before_b = next(s for s in history if s.next == ("b",))
    checkpoint_id = before_b.config["configurable"]["checkpoint_id"]

    run = await driver.run(None, checkpoint_id=checkpoint_id)

    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["in", "a", "b"]}
    forked = [s async for s in driver.saved.aget_state_history(config)]
    assert len(forked) > len(history)
    assert {s.config["configurable"]["checkpoint_id"] for s in history} < {
        s.config["configurable"]["checkpoint_id"] for s in forked
    }


async def test_a_vanished_node_is_an_error_not_a_silent_end() -> None:
    driver = Driver(linear())
    await driver.ask({"log": ["in"]})
    job = await driver.queue.receive()
    assert job is not None
    await driver.deliver(job)
    renamed = StateGraph(State).add_node("a", says("a")).add_node("bee", says("bee"))
    driver.deploy(renamed.add_edge(START, "a").add_edge("a", "bee").compile())
    await driver.drain()

    thread = await driver.thread()
    assert thread.status is ThreadStatus.ERROR
    assert thread.error is not None
    assert "'b'" in thread.error["message"]
