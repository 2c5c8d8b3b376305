"""Runs that wait for their turn: when they may begin, and what they find."""

import pytest

from graph.runtime.models import Ending, StepJob, StepResult, ThreadStatus, Verdict
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    OWNER,
    QUESTION,
    a_run,
    claimed,
    later,
    refusal,
    run_of,
    step_to,
    take,
    verdict,
)


@pytest.mark.parametrize("ends", ["by itself", "cancelled", "rolled back"])
async def test_a_queued_run_does_not_begin_before_its_time(store: Store, ends: str) -> None:
    claim = await claimed(store)
    await store.create_run(a_run(claim.thread_id, delay=600.0))
    if ends == "by itself":
        advanced = await store.advance(claim, DONE)
    else:
        front, undo = run_of(claim).run_id, ends == "rolled back"
        advanced = await store.cancel_run(front, claim.thread_id, OWNER, undo=undo)
    job = StepJob(claim.thread_id, 1)
    assert advanced.next_job == job
    assert 590 < advanced.delay <= 600
    early = await refusal(store, job)
    assert (early.verdict, 590 < early.due_in <= 600) == (Verdict.ASLEEP, True)
    await take(store, job, now=later(601))


async def test_a_queued_run_whose_time_has_come_begins_with_its_turn(store: Store) -> None:
    claim = await claimed(store)
    await store.create_run(a_run(claim.thread_id, delay=0.001))
    assert await verdict(store, StepJob(claim.thread_id, 1)) is Verdict.EARLY
    advanced = await store.advance(claim, DONE)
    assert advanced.next_job is not None
    await take(store, advanced.next_job, now=later(1))


async def test_the_time_of_one_run_is_not_another_ones(store: Store) -> None:
    claim = await claimed(store)
    for delay in (600.0, 0.0):
        await store.create_run(a_run(claim.thread_id, delay=delay))
    await store.advance(claim, DONE)
    advanced = await store.advance(
        await take(store, StepJob(claim.thread_id, 1), now=later(601)), DONE
    )
    assert (advanced.next_job, advanced.delay) == (StepJob(claim.thread_id, 2), 0.0)
    await take(store, StepJob(claim.thread_id, 2))


async def test_a_first_step_is_told_how_its_run_finds_the_thread(store: Store) -> None:
    claim = await claimed(store)
    assert (claim.rests_as, claim.interrupts) == (ThreadStatus.IDLE, {})
    await store.create_run(a_run(claim.thread_id))
    advanced = await store.advance(claim, step_to("c1", Ending.INTERRUPTED, interrupts=QUESTION))
    assert advanced.next_job is not None
    behind = await take(store, advanced.next_job)
    assert (behind.rests_as, behind.interrupts) == (ThreadStatus.INTERRUPTED, QUESTION)


async def test_a_run_that_is_refused_leaves_the_thread_as_it_found_it(store: Store) -> None:
    claim = await claimed(store)
    await store.create_run(a_run(claim.thread_id))
    await store.advance(claim, step_to("c1", Ending.INTERRUPTED, interrupts=QUESTION))
    behind = await take(store, StepJob(claim.thread_id, 1))
    refused = StepResult(
        Ending.FAILED,
        error={"error": "Conflict", "message": "no"},
        interrupts=behind.interrupts,
        rests_as=behind.rests_as,
    )
    await store.advance(behind, refused)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.status, thread.interrupts) == (ThreadStatus.INTERRUPTED, QUESTION)
    assert (thread.head, thread.error) == ("c1", None)
    run = await store.get_run(run_of(behind).run_id, claim.thread_id, OWNER)
    assert run.error == refused.error
