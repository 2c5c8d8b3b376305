"""Thinned threads go on as if nothing had gone, whatever their graphs keep their state in."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any, TypedDict

import psycopg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row

from graph.adapters.postgres import PostgresStore
from graph.adapters.postgres.queries import query
from graph.errors import NotFound
from graph.runtime.checkpoints import config_of
from graph.runtime.edits import Edit, Write, update_state
from graph.runtime.models import StepJob
from graph.runtime.retention import LATEST
from graph.runtime.threads import Place
from tests.contracts.builders import a_run, ids, plain, stepped, take
from tests.fixtures.around import around
from tests.fixtures.driver import Driver
from tests.fixtures.lists_graph import WORDS
from tests.integration.test_lists import Turn, driver_of, input_of, seen, stock

words = st.tuples(st.sampled_from(WORDS), st.integers(0, 7))
scripts = st.lists(st.lists(words, min_size=1, max_size=7).map(tuple), min_size=2, max_size=4)
keeps = st.sampled_from(["1", "2", "5", "run", LATEST])
QUICK = (Phase.explicit, Phase.generate)


async def thinned_on_the_way(
    turns: list[Turn], driver: Driver, keep: str, dropped: list[int]
) -> Any:
    """The newest state after runs between which the history is thinned out."""
    for turn in turns:
        run = await driver.run(input_of(turn))
        assert run.error is None, run.error
        before = await states(driver)
        dropped.append(await thinned(driver, keep))
        after = await states(driver)
        assert after == {name: before[name] for name in after}
    return next(iter(after.values()))


async def thinned(driver: Driver, keep: str) -> int:
    """Thin the thread out, a while after its last run ended; how many checkpoints went."""
    driver.clock.move(60)
    return (await driver.store.thin({driver.thread_id: keep}, limit=1000)).dropped


async def states(driver: Driver) -> dict[str, Any]:
    history = driver.saved.aget_state_history(config_of(driver.thread_id, "", None))
    return {s.config["configurable"]["checkpoint_id"]: seen(s) async for s in history}


@pytest.mark.parametrize("warm", [0, 10**8])
def test_states_that_stay_are_what_they_were(warm: int) -> None:
    dropped: list[int] = []

    @settings(max_examples=25, deadline=None, derandomize=True, phases=QUICK)
    @given(scripts, keeps)
    def check(drawn: list[Any], keep: str) -> None:
        turns = [Turn(script) for script in drawn]

        async def both() -> None:
            wanted = (await stock(turns))[0]
            assert await thinned_on_the_way(turns, driver_of(warm), keep, dropped) == wanted

        asyncio.run(both())

    check()
    assert any(dropped)


def test_states_that_stay_in_postgres_are_what_they_were(database_url: str) -> None:
    dropped: list[int] = []

    @settings(max_examples=8, deadline=None, derandomize=True, phases=QUICK)
    @given(scripts, keeps)
    def check(drawn: list[Any], keep: str) -> None:
        asyncio.run(on_postgres([Turn(script) for script in drawn], keep))

    async def on_postgres(turns: list[Turn], keep: str) -> None:
        wanted, store = (await stock(turns))[0], PostgresStore(database_url)
        try:
            assert await thinned_on_the_way(turns, driver_of(10**8, store), keep, dropped) == wanted
        finally:
            await store.close()

    check()
    assert any(dropped)


class Said(TypedDict, total=False):
    said: list[str]
    n: int


def asking() -> Any:
    """Nested graphs: one remembers across runs, one asks in its second step."""

    def ask(state: Said) -> Said:
        return {"said": [*state.get("said", []), interrupt("what?")]}

    asks = StateGraph(Said).add_node("first", lambda s: {"n": s.get("n", 0) + 1})
    asks.add_node("ask", ask).add_edge(START, "first").add_edge("first", "ask")
    counts = StateGraph(Said).add_node("count", lambda s: {"n": s.get("n", 0) + 10})
    counts.add_edge(START, "count")
    outer = StateGraph(Said).add_node("counts", counts.compile(checkpointer=True))
    outer.add_node("asks", asks.compile())
    return outer.add_edge(START, "counts").add_edge("counts", "asks")


@pytest.mark.parametrize("keep", ["1", "run", LATEST])
async def test_a_nested_graph_that_waits_is_answered_after_thinning(keep: str) -> None:
    driver = Driver(asking().compile())
    stock_graph = asking().compile(checkpointer=InMemorySaver())
    config = config_of("stock", "", None)
    for answer in ("this", "that"):
        await driver.run({"said": []})
        await thinned(driver, keep)
        assert list((await driver.thread()).interrupts.values())
        await driver.run(command={"resume": answer})
        await thinned(driver, keep)
        await stock_graph.ainvoke({"said": []}, config)
        wanted = await stock_graph.ainvoke(Command(resume=answer), config)
        assert await driver.values() == wanted


async def test_nested_calls_that_are_over_go_with_their_history() -> None:
    driver = Driver(asking().compile())
    sizes = []
    for _ in range(4):
        await driver.run({"said": []})
        await driver.run(command={"resume": "this"})
        await thinned(driver, "1")
        sizes.append(len(await driver.store.history(driver.thread_id, None)))
    assert sizes[1:] == sizes[:-1]


async def test_an_edit_of_a_checkpoint_that_has_just_gone_is_refused_and_changes_nothing() -> None:
    driver = Driver(
        StateGraph(Said).add_node("n", lambda s: {"n": s["n"] + 1}).add_edge(START, "n").compile()
    )
    await driver.run({"n": 1})
    await driver.run({"n": 5})
    first = list(await states(driver))[-1]

    async def thinned_before(hold: Any, thread_id: str, *given: Any, **named: Any) -> Any:
        await driver.store.thin({thread_id: "1"}, limit=1000)
        return await hold(thread_id, *given, **named)

    around(driver.store.hold, thinned_before)  # the sweep comes between an edit's look and its hold
    before = await driver.thread()
    with pytest.raises(NotFound, match=first):
        await update_state(driver.rt, before, Edit(Write({"n": 9}), Place(first)))
    assert await driver.thread() == before
    assert await driver.values() == {"n": 6}
    await driver.run({"n": 7})
    assert await driver.values() == {"n": 8}


async def begun(url: str, statement: str, **params: Any) -> psycopg.AsyncConnection[Any]:
    """A connection in whose open transaction this was done."""
    connection = await psycopg.AsyncConnection.connect(url, row_factory=dict_row)
    await connection.execute(query(statement, params), params)
    return connection


async def until_waiting(url: str) -> None:
    """Return when a statement waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as watcher:
        async with asyncio.timeout(10):
            while True:
                found = await watcher.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                if (await found.fetchone() or (0,))[0]:
                    return
                await asyncio.sleep(0.002)


@pytest.fixture
async def store(database_url: str) -> Any:
    made = PostgresStore(database_url)
    yield made
    await made.close()


@pytest.mark.parametrize("commits", [True, False])
async def test_a_run_that_waits_for_the_sweep_starts_from_what_is_there(
    store: PostgresStore, direct_url: str, commits: bool
) -> None:
    thread_id = await stepped(store, "c1", "c2")
    thins = {"thread_ids": [thread_id], "keeps": ["1"], "limit": 100, "recent": 0, "now": None}
    sweeping = await begun(direct_url, "thin", **thins)
    new = a_run(thread_id, kwargs={"checkpoint_id": "c1"})
    asked = asyncio.ensure_future(store.create_run(new))
    await until_waiting(direct_url)
    await (sweeping.commit() if commits else sweeping.rollback())
    await sweeping.close()
    if commits:
        with pytest.raises(NotFound, match="c1"):
            await asked
        assert await store.runs_by_id([new.run_id]) == []
        assert await ids(store, thread_id) == ["c2"]
    else:
        await asked
        claim = await take(store, StepJob(thread_id, 2))
        assert plain(claim.stored)[0].checkpoint_id == "c1"


async def test_a_sweep_that_looked_before_a_run_was_accepted_leaves_the_thread_alone(
    store: PostgresStore, direct_url: str
) -> None:
    thread_id = await stepped(store, "c1", "c2")
    async with await psycopg.AsyncConnection.connect(direct_url) as other:
        await other.execute(
            "UPDATE threads SET updated_at = now() WHERE thread_id = %s", [thread_id]
        )
        skipped = await store.thin({thread_id: "1"}, limit=100)
    assert (skipped.dropped, await ids(store, thread_id)) == (0, ["c2", "c1"])
    assert (await store.thin({thread_id: "1"}, limit=100)).dropped == 1


async def test_a_sweep_that_dies_in_the_middle_has_dropped_nothing(
    store: PostgresStore, direct_url: str
) -> None:
    thread_id = await stepped(store, "c1", "c2", "c3")
    thins = {"thread_ids": [thread_id], "keeps": ["1"], "limit": 100, "recent": 0, "now": None}
    sweeping = await begun(direct_url, "thin", **thins)
    await sweeping.close()  # nobody committed
    assert await ids(store, thread_id) == ["c3", "c2", "c1"]
    assert await store.worn_threads("1", window=10_000, limit=10_000) == {thread_id: "1"}
    assert (await store.thin({thread_id: "1"}, limit=100)).dropped == 2


SWEEP = """
from functions.sweep.handler import handler
from infra.local.worker import Context
import time
print(handler({}, Context("request", "sweep-function", time.time() + 55)))
"""


async def test_the_sweep_function_thins_and_logs_what_is_left(
    store: PostgresStore, database_url: str, direct_url: str
) -> None:
    thread_id = await stepped(store, "c1", "c2", "c3")
    with psycopg.connect(direct_url) as connection:  # what its run came to was read long ago
        connection.execute("UPDATE runs SET ended_at = ended_at - interval '2 hours'")
    said = {"QUEUE_URL": "unix:///none", "BATON_KEEP_CHECKPOINTS": "2"}
    env = {**os.environ, **said, "DATABASE_URL": database_url}
    command = [sys.executable, "-c", SWEEP]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    swept, backlog = (json.loads(line) for line in done.stdout.splitlines()[:2])

    assert (swept["message"], swept["thinned"]) == ("swept", 1)
    assert await ids(store, thread_id) == ["c3", "c2"]
    assert (backlog["message"], backlog["FunctionName"]) == ("backlog", "sweep-function")
    assert backlog["OverdueSteps"] == 0
    assert backlog["StoredBytes"] == sum(backlog["bytes"].values()) > 0
    assert {"checkpoints", "blobs", "items", "writes", "events"} <= set(backlog["bytes"])
