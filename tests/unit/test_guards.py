"""The one message behind steps that a client's process takes."""

import asyncio
import time
from dataclasses import replace

import pytest

from graph.runtime.inline import step_inline
from graph.runtime.line import Line
from graph.runtime.models import Run, StepJob, ThreadStatus
from tests.contracts.builders import claim_one
from tests.fixtures.driver import OWNER, Driver
from tests.unit.test_step import Died, dies_once_at, three_steps

LEASE = 20.0


async def asked(driver: Driver) -> tuple[Run, StepJob]:
    """A run whose first message its client's process keeps."""
    run = await driver.ask({"log": []})
    job = await driver.queue.receive()
    assert job is not None
    return run, job


async def on_line(driver: Driver, run: Run, job: StepJob, *, seconds: float = 600.0) -> None:
    line = Line(time.monotonic() + seconds, LEASE)
    await step_inline(driver.rt, None, job, run=run, line=line)


def guards(driver: Driver) -> list[tuple[int, float]]:
    """Where each guard in the queue looks, and in how many seconds."""
    now = driver.clock()
    sent = [each for each in driver.queue.sent if each.job.guards]
    return [(each.job.seq, (each.due - now).total_seconds()) for each in sent]


async def test_a_run_on_a_line_is_guarded_by_one_message() -> None:
    driver = Driver(three_steps([]))
    await on_line(driver, *await asked(driver))
    assert [sent.job.seq for sent in driver.queue.sent] == [0]
    assert guards(driver) == [(0, LEASE)]
    await driver.drain()
    assert driver.outcomes == ["duplicate"]
    assert await driver.values() == {"log": ["a", "b", "c"]}


@pytest.mark.parametrize("seq", [0, 1, 2])
@pytest.mark.parametrize("cut", ["after claim", "after the node's effect", "after save"])
async def test_a_process_that_dies_on_a_line_loses_and_doubles_nothing(cut: str, seq: int) -> None:
    driver = Driver(three_steps([]))
    died = dies_once_at(driver, cut, seq)
    run, job = await asked(driver)
    with pytest.raises(Died):
        await on_line(driver, run, job)
    assert died
    await driver.drain()
    assert await driver.values() == {"log": ["a", "b", "c"]}
    assert (await driver.thread()).status is ThreadStatus.IDLE


async def test_a_guard_follows_its_run_while_steps_are_taken() -> None:
    driver = Driver(three_steps([]))
    run, job = await asked(driver)
    guard = replace(job, redelivered=True, guards=run.run_id)
    for seq in (0, 1):
        await driver.deliver(StepJob(job.thread_id, seq))
    await claim_one(driver.store, StepJob(job.thread_id, 2), lease=LEASE)  # and may be dead
    driver.queue.sent.clear()

    assert await driver.deliver(guard) == "duplicate"
    assert guards(driver) == [(2, LEASE)]
    await driver.drain()
    assert await driver.values() == {"log": ["a", "b", "c"]}


async def test_a_guard_is_over_when_steps_of_another_run_are_taken() -> None:
    driver = Driver(three_steps([]))
    run, job = await asked(driver)
    await on_line(driver, run, job)
    (sent,) = driver.queue.sent
    driver.queue.sent.clear()
    _, second = await asked(driver)

    await driver.deliver(sent.job)  # nobody has taken a step yet: it cannot know who will
    assert guards(driver) == [(second.seq, 0)]
    driver.queue.sent.clear()
    await claim_one(driver.store, second, lease=LEASE)
    await driver.deliver(sent.job)
    assert driver.queue.sent == []


async def test_a_line_that_ends_passes_the_run_on_at_once() -> None:
    driver = Driver(three_steps([]))
    await on_line(driver, *await asked(driver), seconds=LEASE + 0.001)
    due = [sent.job for sent in driver.queue.sent if sent.due <= driver.clock()]
    assert [(job.seq, job.guards) for job in due] == [(1, None)]
    await driver.drain()
    assert await driver.values() == {"log": ["a", "b", "c"]}


async def test_two_processes_on_a_line_take_each_step_once() -> None:
    effects: list[str] = []
    driver = Driver(three_steps(effects))
    run, job = await asked(driver)
    await asyncio.gather(*(on_line(driver, run, job) for _ in range(2)))
    await driver.drain()
    assert await driver.values() == {"log": ["a", "b", "c"]}
    assert len(effects) == len(set(effects)) == 3
    assert (await driver.store.get_run(run.run_id, run.thread_id, OWNER)).status.ended
