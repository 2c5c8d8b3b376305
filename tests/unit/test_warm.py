"""What a process keeps of the threads it stepped, and what a step with it sends and reads."""

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from graph.runtime.lists import Log
from graph.runtime.models import StepJob
from graph.runtime.reins import Reins
from graph.runtime.step import step
from graph.runtime.step_saver import StepSaver
from graph.runtime.warm import WarmThreads
from tests.fixtures.driver import Driver
from tests.fixtures.lists_graph import lists_graph

APPENDING = {"script": [("append", 0)] * 5, "at": 0}


@dataclass
class Block:
    size: int


def test_the_oldest_go_when_it_is_full() -> None:
    warm: WarmThreads[Block] = WarmThreads(100)
    for name in "abc":
        warm.keep(name, Block(40))
    assert (warm.size, warm.take("a")) == (80, None)
    assert warm.take("b") == Block(40)
    assert warm.size == 40


def test_what_is_used_again_is_the_newest() -> None:
    warm: WarmThreads[Block] = WarmThreads(100)
    warm.keep("a", Block(40))
    warm.keep("b", Block(40))
    taken = warm.take("a")
    assert taken is not None
    warm.keep("a", taken)
    warm.keep("c", Block(40))
    assert warm.take("b") is None
    assert warm.take("a") == Block(40)


def test_what_is_kept_again_counts_once_and_what_is_too_large_is_not_kept() -> None:
    warm: WarmThreads[Block] = WarmThreads(100)
    warm.keep("a", Block(40))
    warm.keep("a", Block(60))
    assert warm.size == 60
    warm.keep("b", Block(101))
    assert (warm.size, warm.take("b")) == (0, None)
    nothing: WarmThreads[Block] = WarmThreads(0)
    nothing.keep("a", Block(1))
    assert (nothing.size, nothing.take("a")) == (0, None)


class Claims:
    """Notes what claims are told and given."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.told: list[str | None] = []
        self.given: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def claim(self, jobs: Sequence[tuple[StepJob, str | None]], **how: Any) -> Any:
        claims = await self.store.claim(jobs, **how)
        for (_, cached), claim in zip(jobs, claims, strict=True):
            self.told.append(cached)
            stored = getattr(claim, "stored", None)
            self.given.append(stored is not None and bool(stored.row.body))
        return claims


def watched() -> tuple[Driver, Claims]:
    driver = Driver(lists_graph())
    claims = Claims(driver.store)
    driver.rt = replace(driver.rt, store=claims)
    return driver, claims


async def test_a_process_is_given_no_values_that_it_saved_itself() -> None:
    driver, claims = watched()
    await driver.run(APPENDING)
    assert claims.told[0] is None
    assert all(claims.told[1:])
    assert not any(claims.given)


async def test_lists_are_looked_over_while_the_claim_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver, claims = watched()
    await driver.run(APPENDING)
    order: list[str] = []
    claim, look_over = claims.claim, Log.look_over

    async def slow(*given: Any, **how: Any) -> Any:
        order.append("asked")
        await asyncio.sleep(0)
        order.append("answered")
        return await claim(*given, **how)

    def noted(log: Log) -> None:
        order.append("looked over")
        look_over(log)

    monkeypatch.setattr(claims, "claim", slow)
    monkeypatch.setattr(Log, "look_over", noted)
    await driver.run(APPENDING)
    assert order[:3] == ["asked", "looked over", "answered"]


async def test_another_process_is_given_all_and_so_is_the_first_again() -> None:
    driver, claims = watched()
    await driver.run(APPENDING)
    mine = driver.rt
    driver.rt = replace(mine, warm=WarmThreads())
    await driver.run(APPENDING)
    claims.told.clear()
    claims.given.clear()
    driver.rt = mine  # what it has is stale
    await driver.run(APPENDING)
    assert claims.told[0] is not None
    assert claims.given[0]
    assert not any(claims.given[1:])


async def test_a_message_too_many_does_not_forget_the_thread() -> None:
    driver, claims = watched()
    await driver.run(APPENDING)
    await step(StepJob(driver.thread_id, 0), driver.rt, time_left=30)
    claims.given.clear()
    await driver.run(APPENDING)
    assert not any(claims.given)


async def test_a_claim_that_is_lost_leaves_nothing_behind() -> None:
    driver, _ = watched()
    await driver.run(APPENDING)

    async def lose(name: str) -> None:
        if name == "after the node's effect":
            driver.store.tables.threads[driver.thread_id].fence += 1

    driver.rt = replace(driver.rt, cut=lose)
    await driver.ask(APPENDING)
    job = await driver.queue.receive()
    assert job is not None
    assert await driver.deliver(job) == "lost"
    assert driver.rt.warm.take(driver.thread_id) is None


@pytest.mark.parametrize("several", [1, 5])
@pytest.mark.parametrize("word", ["append", "inner"])  # an exception holds its own frames
async def test_what_a_step_held_goes_with_it_and_not_when_garbage_is_looked_for(
    word: str, several: int
) -> None:
    driver = Driver(lists_graph(), steps_per_invocation=several)
    await driver.run(APPENDING)
    gc.collect()
    gc.disable()
    try:
        before = held_by_steps()
        await driver.run({"script": [("append", 0), (word, 0)], "at": 0})
        assert not [one for one in held_by_steps() if one not in before]
    finally:
        gc.enable()


def held_by_steps() -> list[Any]:
    return [one for one in gc.get_objects() if type(one) in (StepSaver, Reins)]
