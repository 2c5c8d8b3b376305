"""What a thread waits for and a deploy took away: said by name, never silently done."""

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt

from graph.runtime.models import Run, RunStatus, ThreadStatus
from tests.fixtures.driver import Driver
from tests.fixtures.graphs import chain, note


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def asks(state: State) -> State:
    return {"log": [f"told {interrupt('go on?')}"]}


async def one_step(driver: Driver) -> None:
    job = await driver.queue.receive()
    assert job is not None
    await driver.deliver(job)


async def must_fail(driver: Driver, run: Run, *named: str) -> None:
    """It ended as an error that names these, and the state is the one before."""
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    for name in named:
        assert name in f"{run.error['error']}: {run.error['message']}"
    assert (await driver.thread()).status is ThreadStatus.ERROR


async def test_a_question_whose_node_was_renamed_is_not_silently_answered() -> None:
    driver = Driver(chain(("a", note("a")), ("ask", asks)))
    await driver.run({"log": []})
    driver.deploy(chain(("a", note("a")), ("approve", asks)))

    run = await driver.run(command={"resume": "yes"})

    await must_fail(driver, run, "NodeNotFound", "'ask'", "fork")
    assert await driver.values() == {"log": ["a"]}
    driver.deploy(chain(("a", note("a")), ("ask", asks)))  # rolled back, it is answered after all
    assert (await driver.run(None)).status is RunStatus.INTERRUPTED
    await driver.run(command={"resume": "yes"})
    assert await driver.values() == {"log": ["a", "told yes"]}


async def test_new_input_to_a_thread_that_waits_for_a_vanished_node_starts_anew() -> None:
    driver = Driver(chain(("a", note("a")), ("ask", asks)))
    await driver.run({"log": []})
    driver.deploy(chain(("b", note("b"))))
    assert (await driver.run({"log": ["again"]})).status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["a", "again", "b"]}


async def test_a_node_that_no_longer_asks_does_not_swallow_the_answer() -> None:
    driver = Driver(chain(("a", note("a")), ("ask", asks)))
    await driver.run({"log": []})
    driver.deploy(chain(("a", note("a")), ("ask", note("went ahead"))))

    run = await driver.run(command={"resume": "no!"})

    await must_fail(driver, run, "InterruptNotFound", "'ask'")
    assert await driver.values() == {"log": ["a"]}
    assert (await driver.run(None)).status is RunStatus.SUCCESS  # as is said, without an answer
    assert await driver.values() == {"log": ["a", "went ahead"]}


async def test_an_answer_that_comes_with_an_update_may_have_made_the_question_needless() -> None:
    def unless_approved(state: State) -> State:
        return {} if "approved" in state["log"] else asks(state)

    driver = Driver(chain(("a", note("a")), ("ask", unless_approved)))
    await driver.run({"log": []})
    run = await driver.run(command={"resume": "yes", "update": {"log": ["approved"]}})
    assert run.status is RunStatus.SUCCESS


async def test_an_answered_question_of_a_nested_graph_is_found() -> None:
    inner = chain(("think", note("think")), ("ask", asks))
    driver = Driver(chain(("inner", inner)))
    await driver.run({"log": []})
    run = await driver.run(command={"resume": "yes"})
    assert run.status is RunStatus.SUCCESS
    assert "told yes" in (await driver.values())["log"]


async def test_a_vanished_node_of_a_nested_graph_is_named() -> None:
    inner = chain(("think", note("think")), ("ask", asks))
    driver = Driver(chain(("inner", inner)))
    await driver.run({"log": []})
    driver.deploy(chain(("inner", chain(("think", note("think")), ("approve", asks)))))

    run = await driver.run(command={"resume": "yes"})

    await must_fail(driver, run, "NodeNotFound", "'ask'", "'inner'")


async def test_a_send_to_a_vanished_node_is_named() -> None:
    def fan(target: str) -> Any:
        graph = StateGraph(State).add_node("a", note("a")).add_node(target, note(target))
        graph.add_conditional_edges("a", lambda s: [Send(target, s), Send(target, s)], [target])
        return graph.add_edge(START, "a").compile()

    driver = Driver(fan("work"))
    run = await driver.ask({"log": []})
    await one_step(driver)
    driver.deploy(fan("labour"))
    await driver.drain()
    run = await driver.store.get_run(run.run_id, driver.thread_id, run.owner)
    await must_fail(driver, run, "NodeNotFound", "'work'")


async def test_a_vanished_node_that_waits_for_two_others_is_named() -> None:
    def joined(last: str) -> Any:
        graph = StateGraph(State)
        for name in ("a", "b", "b2", last):
            graph.add_node(name, note(name))
        graph.add_edge(START, "a").add_edge(START, "b").add_edge("b", "b2")
        return graph.add_edge(["a", "b2"], last).compile()

    driver = Driver(joined("c"))
    run = await driver.ask({"log": []})
    await one_step(driver)  # a and b are done; c waits for b2
    driver.deploy(joined("see"))
    await driver.drain()
    run = await driver.store.get_run(run.run_id, driver.thread_id, run.owner)
    await must_fail(driver, run, "NodeNotFound", "'c'")


async def test_what_a_finished_sibling_chose_must_be_there_too() -> None:
    def forked(after: str) -> Any:
        graph = StateGraph(State).add_node("a", note("a")).add_node("ask", asks)
        graph.add_node(after, note(after)).add_edge("a", after)
        return graph.add_edge(START, "a").add_edge(START, "ask").compile()

    driver = Driver(forked("next"))
    await driver.run({"log": []})  # a is done and has chosen `next`, ask waits
    driver.deploy(forked("following"))
    run = await driver.run(command={"resume": "yes"})
    await must_fail(driver, run, "NodeNotFound", "'next'")


@pytest.mark.parametrize("goto", ["nowhere", [{"node": "nowhere", "input": {}}]])
async def test_a_command_to_go_where_nothing_is_fails(goto: Any) -> None:
    driver = Driver(chain(("a", note("a"))))
    await driver.run({"log": []})
    run = await driver.run(command={"goto": goto})
    await must_fail(driver, run, "NodeNotFound", "'nowhere'")
