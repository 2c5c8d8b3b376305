"""What the engine stored before lists is read, and gone on with."""

from dataclasses import replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from graph.adapters.memory import MemoryStore
from graph.adapters.postgres import PostgresStore
from graph.runtime.checkpoints import Checkpoints, bound, config_of
from graph.runtime.codec import FORMAT
from graph.runtime.models import RunStatus, ThreadStatus
from graph.runtime.retention import keep_latest
from tests.contracts.builders import a_thread
from tests.fixtures import format_1
from tests.fixtures.driver import OWNER, Driver

HELLO = {"messages": [{"role": "user", "content": "hello", "id": "hello"}]}


@pytest.fixture(params=["memory", "postgres"])
async def driver(request: pytest.FixtureRequest) -> Any:
    """The old thread, with the graph of today."""
    driver = Driver(format_1.graph())
    if request.param == "postgres":
        store: Any = PostgresStore(request.getfixturevalue("database_url"))
        driver.store, driver.rt = store, replace(driver.rt, store=store)
    found = format_1.stored()
    thread = a_thread(
        thread_id=driver.thread_id,
        owner=OWNER,
        head=found["head"],
        interrupts=found["interrupts"],
        status=ThreadStatus.INTERRUPTED,
    )
    await driver.store.create_thread(thread, rows=format_1.rows(found))
    yield driver
    if not isinstance(driver.store, MemoryStore):
        await driver.store.close()


async def stock(*given: Any) -> tuple[Any, list[Any]]:
    """The state that LangGraph itself comes to, and those on the way, newest first."""
    whole = format_1.graph().copy({"checkpointer": InMemorySaver()})
    config = config_of("stock", "", None)
    for one in given:
        await whole.ainvoke(one, config)
    history = [state async for state in whole.aget_state_history(config)]
    return history[0].values, [(s.values, s.next) for s in history]


async def test_every_old_state_is_what_it_was(driver: Driver) -> None:
    _, wanted = await stock(HELLO)
    config = config_of(driver.thread_id, "", None)
    history = [state async for state in driver.saved.aget_state_history(config)]
    assert [(s.values, s.next) for s in history] == wanted
    assert [i.value for i in history[0].interrupts] == ["how?"]


async def test_an_old_question_is_answered_and_the_run_goes_on_in_the_new_form(
    driver: Driver,
) -> None:
    run = await driver.run(command={"resume": "well"})
    assert run.status is RunStatus.SUCCESS, run.error
    wanted, _ = await stock(HELLO, Command(resume="well"))
    assert await driver.values() == wanted
    newest = await driver.store.load(driver.thread_id, "", None)
    assert newest is not None
    assert newest.row.lists


async def test_an_old_thread_is_thinned_and_copied(driver: Driver) -> None:
    before = await driver.values()
    await driver.store.copy_thread(driver.thread_id, OWNER, "copy")
    await keep_latest(driver.store, [driver.thread_id])
    for thread_id in (driver.thread_id, "copy"):
        saved = bound(driver.graph, Checkpoints(driver.store))
        assert (await saved.aget_state(config_of(thread_id, "", None))).values == before
    driver.thread_id = "copy"
    assert (await driver.run(command={"resume": "well"})).status is RunStatus.SUCCESS


def test_the_fixture_is_of_another_format_than_todays() -> None:
    bodies = [row.body for row in format_1.rows(format_1.stored()).checkpoints]
    assert all(b"format\x01" in body and FORMAT > 1 for body in bodies)
