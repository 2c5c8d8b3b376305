"""A run that waited for its turn is looked at again when it comes."""

from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from graph.runtime.models import Run, RunStatus, ThreadStatus
from tests.fixtures.driver import OWNER, Driver
from tests.unit.test_superstep_shapes import State, asks, linear, says


def asks_twice() -> Any:
    graph = StateGraph(State).add_node("first", lambda s: {"log": [interrupt("first?")]})
    graph.add_node("second", lambda s: {"log": [interrupt("second?")]})
    return graph.add_edge(START, "first").add_edge("first", "second").compile()


async def waiting(driver: Driver) -> str:
    """The id of the question that the thread waits with."""
    (asked,) = (await driver.thread()).interrupts.values()
    return str(asked[0]["id"])


async def came_to(driver: Driver, run: Run) -> Run:
    return await driver.store.get_run(run.run_id, driver.thread_id, OWNER)


async def test_a_second_answer_that_waited_is_refused_when_nothing_is_asked_any_more() -> None:
    driver = Driver(asks("a"), deliveries=2)
    await driver.run({"log": []})
    first, second = [await driver.ask(command={"resume": said}) for said in ("yes", "again")]
    await driver.drain()

    assert (await came_to(driver, first)).status is RunStatus.SUCCESS
    refused = await came_to(driver, second)
    assert refused.status is RunStatus.ERROR
    assert refused.error is not None
    assert refused.error["error"] == "Conflict"
    assert "waits for no answer" in refused.error["message"]
    assert (await driver.thread()).status is ThreadStatus.IDLE
    assert await driver.values() == {"log": ["a: yes", "end"]}


async def test_an_answer_that_waited_is_not_taken_for_another_questions() -> None:
    driver = Driver(asks_twice())
    await driver.run({"log": []})
    answer = {"resume": {await waiting(driver): "one"}}
    await driver.ask(command=answer, strict_resume=True)
    again = await driver.ask(command=answer, strict_resume=True)
    await driver.drain()

    refused = await came_to(driver, again)
    assert refused.error is not None
    assert "is not asked" in refused.error["message"]
    thread = await driver.thread()
    assert thread.status is ThreadStatus.INTERRUPTED
    run = await driver.run(command={"resume": {await waiting(driver): "two"}}, strict_resume=True)
    assert run.status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["one", "two"]}


@pytest.mark.parametrize("waits", [False, True])
async def test_a_run_whose_checkpoint_is_gone_ends_with_an_error_that_names_it(
    waits: bool,
) -> None:
    driver = Driver(linear())
    await driver.run({"log": ["in"]})
    start = (await driver.thread()).head
    if waits:
        await driver.ask({"log": ["in front"]})
    run = await driver.ask({"log": ["late"]}, checkpoint_id=start)
    if waits:
        job = await driver.queue.receive()
        assert job is not None
        await driver.deliver(job)
        await driver.queue.send(job, owner=OWNER)
    await driver.store.delete_checkpoints(thread_id=driver.thread_id)
    await driver.drain()

    refused = await came_to(driver, run)
    assert refused.status is RunStatus.ERROR
    assert refused.error == {
        "error": "NotFound",
        "message": f"checkpoint {start} does not exist on thread thread",
    }
    assert "late" not in str(await driver.values())


async def test_an_answer_waits_for_a_run_that_asks() -> None:
    graph = StateGraph(State).add_node("a", says("a")).add_node("ask", asks("b").nodes["b"].bound)
    driver = Driver(graph.add_edge(START, "a").add_edge("a", "ask").compile())
    await driver.ask({"log": []})
    answer = await driver.ask(command={"resume": "yes"})
    await driver.drain()

    assert (await came_to(driver, answer)).status is RunStatus.SUCCESS
    assert await driver.values() == {"log": ["a", "b: yes"]}
