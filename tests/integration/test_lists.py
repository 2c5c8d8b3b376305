"""Lists come back as LangGraph's own saver gives them, whatever was done to them."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from graph.adapters.postgres import PostgresStore
from graph.runtime.checkpoints import config_of
from graph.runtime.edits import Edit, Write, update_state
from graph.runtime.threads import Place
from graph.runtime.warm import WarmThreads
from tests.fixtures.driver import Driver
from tests.fixtures.lists_graph import WORDS, Word, lists_graph


@dataclass(frozen=True)
class Turn:
    """A run or an edit, on the newest checkpoint or on one of the past."""

    script: tuple[Word, ...]
    past: int | None = None  # which of the checkpoints so far, counted from the newest
    edits: bool = False


words = st.tuples(st.sampled_from(WORDS), st.integers(0, 7))
turns = st.lists(
    st.builds(
        Turn,
        st.lists(words, min_size=1, max_size=9).map(tuple),
        st.none() | st.integers(0, 9),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
OLD_ITEM_CHANGED = [
    Turn((("append", 0),) * 6 + (("mutate", 0), ("retype", 0), ("retype", 0))),
    Turn((("append", 0), ("mutate", 2)), past=3),
]
FORKED = [
    Turn((("append", 0),) * 6),
    Turn((("rest", 0), ("append", 0)), past=2),
    Turn((("append", 0),), past=4, edits=True),
    Turn((("append", 0), ("inner", 0), ("append", 0))),
]


async def stock(turns: list[Turn]) -> list[Any]:
    """All states, newest first, as the saver in memory keeps them."""
    graph = lists_graph(InMemorySaver())
    config = config_of("thread", "", None)
    for turn in turns:
        past = [state async for state in graph.aget_state_history(config)]
        at = past[turn.past % len(past)].config if turn.past is not None and past else config
        if turn.edits and past:
            await graph.aupdate_state(at, edit_of(turn), "act")
        else:
            await graph.ainvoke(input_of(turn), at, durability="sync")
    return [seen(state) async for state in graph.aget_state_history(config)]


async def ours(turns: list[Turn], driver: Driver) -> list[Any]:
    """All states, newest first, as the engine keeps them."""
    config = config_of(driver.thread_id, "", None)
    for turn in turns:
        past = [state async for state in driver.saved.aget_state_history(config)]
        at = None
        if turn.past is not None and past:
            at = past[turn.past % len(past)].config["configurable"]["checkpoint_id"]
        if turn.edits and past:
            edit = Edit(Write(edit_of(turn), "act"), Place(at))
            await update_state(driver.rt, await driver.thread(), edit)
        else:
            run = await driver.run(input_of(turn), **({"checkpoint_id": at} if at else {}))
            assert run.error is None, run.error
    return [seen(state) async for state in driver.saved.aget_state_history(config)]


def input_of(turn: Turn) -> Any:
    return {"script": list(turn.script), "at": 0, "messages": [user("go", "go" * 300)]}


def edit_of(turn: Turn) -> Any:
    return {"messages": [user("edit", f"edit {turn.script}" * 40)]}


def user(name: str, said: str) -> dict[str, str]:
    return {"role": "user", "content": said, "id": name}


def seen(state: Any) -> Any:
    """What of a state must be equal, types included: 1, True and 1.0 are not."""
    return repr(state.values), state.next, state.metadata["step"], state.metadata["source"]


def driver_of(kept: int, store: Any = None) -> Driver:
    driver = Driver(lists_graph(), thread_id=str(uuid4()))
    driver.move_to(store or driver.store)
    driver.rt = replace(driver.rt, warm=WarmThreads(kept))
    return driver


QUICK = (Phase.explicit, Phase.generate)  # a case is small enough as it is


@settings(max_examples=40, deadline=None, derandomize=True, phases=QUICK)
@given(turns)
@example(OLD_ITEM_CHANGED)
@example(FORKED)
def test_every_state_is_the_one_of_the_stock_saver(turns: list[Turn]) -> None:
    async def check() -> None:
        wanted = await stock(turns)
        assert await ours(turns, driver_of(10**8)) == wanted
        assert await ours(turns, driver_of(0)) == wanted

    asyncio.run(check())


def test_postgres_gives_them_back_alike(database_url: str) -> None:
    @settings(max_examples=6, deadline=None, derandomize=True, phases=QUICK)
    @given(turns)
    @example(OLD_ITEM_CHANGED)
    @example(FORKED)
    def check(turns: list[Turn]) -> None:
        asyncio.run(on_postgres(turns, database_url))

    check()


async def on_postgres(turns: list[Turn], url: str) -> None:
    wanted, store = await stock(turns), PostgresStore(url)
    try:
        assert await ours(turns, driver_of(10**8, store)) == wanted
        assert await ours(turns, driver_of(0, store)) == wanted
    finally:
        await store.close()


async def test_an_older_item_changed_in_place_is_saved() -> None:
    driver = driver_of(10**8)
    await driver.run(input_of(OLD_ITEM_CHANGED[0]))
    changed = (await driver.values())["messages"][0]
    assert changed.content.startswith("changed at 6")
    assert repr(changed.additional_kwargs) == "{'k6': 1.0}"  # True at first, then 1


async def test_a_step_stores_what_it_added_and_refers_to_the_rest() -> None:
    driver = driver_of(0)
    await driver.run(input_of(Turn((("append", 0),) * 30)))
    rows = [stored for _, stored in await driver.store.history(driver.thread_id, "")]
    items = driver.store.tables.shelf(driver.thread_id).items.values()
    assert sum(item.count for item in items) == 31
    assert max(len(stored.row.body) for stored in rows) < 2000
    assert len(rows[0].row.lists["messages"]) == 1


async def test_a_long_list_is_stored_in_parts_and_read_back(database_url: str) -> None:
    said = [user(str(n), f"{n} " * 700) for n in range(200)]
    store = PostgresStore(database_url)
    try:
        for driver in (driver_of(0), driver_of(0, store)):
            await driver.run({"script": [("append", 0)], "at": 0, "messages": said})
            found = (await driver.values())["messages"]
            assert [m.content for m in found[:200]] == [m["content"] for m in said]
            stored = await driver.store.load(driver.thread_id, "", None)
            assert stored is not None
            assert len(stored.items) > 2
            assert len(stored.row.lists["messages"]) == 1
    finally:
        await store.close()


async def test_what_changes_after_the_save_is_not_what_was_saved() -> None:
    driver = driver_of(10**8)
    await driver.run(input_of(Turn((("append", 0),) * 5)))
    before = repr(await driver.values())
    (standing,) = driver.rt.warm._kept.values()
    log = standing.forms["messages"][1]
    log.items[0].content = "changed by a thread that runs on"
    await driver.run({"script": [("append", 1)], "at": 0})
    after = await driver.values()
    assert after["messages"][0].content in before
    assert "changed by" not in repr(after)


async def test_what_a_node_changed_before_it_failed_is_as_if_it_had_not() -> None:
    driver = driver_of(10**8)
    await driver.run(input_of(Turn((("append", 0),) * 5)))
    before = await driver.values()
    failed = await driver.run({"script": [("fail", 0)], "at": 0})
    assert failed.error is not None
    assert (await driver.values())["messages"] == before["messages"]
    await driver.run({"script": [("append", 1)], "at": 0})
    assert "never saved" not in repr(await driver.values())
