"""Runs created while something else happens to the thread: none is lost, none is doubled."""

from typing import Any

import pytest

from graph.errors import Conflict
from graph.runtime.models import (
    Advanced,
    Claim,
    Created,
    Ending,
    StepJob,
    ThreadStatus,
)
from tests.contracts.at_once import ROUNDS, both, kinds
from tests.contracts.builders import (
    DONE,
    OWNER,
    a_run,
    claimed,
    new_thread,
    run_of,
    step_to,
    take,
)
from tests.contracts.lab import Lab


async def check_the_new_run_got_its_turn(
    lab: Lab, claim: Claim, advanced: Any, created: Any
) -> None:
    """Active and rung for by exactly one of the two, with nothing left in the queue."""
    assert isinstance(advanced, Advanced), advanced
    assert isinstance(created, Created), created
    thread = await lab.store.get_thread(claim.thread_id, OWNER)
    assert (thread.active_run_id, thread.queued) == (created.run.run_id, ())
    assert thread.status is ThreadStatus.BUSY
    jobs = [job for job in (advanced.next_job, created.job) if job]
    assert jobs == [StepJob(claim.thread_id, 1)]
    taken = await take(lab.store, jobs[0])
    assert run_of(taken).run_id == created.run.run_id


async def test_a_run_created_as_another_ends_is_never_lost(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        advanced, created = await both(
            lab.store.advance(claim, DONE), rival.create_run(a_run(claim.thread_id))
        )
        await check_the_new_run_got_its_turn(lab, claim, advanced, created)


async def test_a_run_created_just_after_another_ended_is_active(lab: Lab) -> None:
    claim = await claimed(lab.store)
    advanced, created = await lab.in_order(
        claim.thread_id,
        lab.store.advance(claim, DONE),
        lab.another().create_run(a_run(claim.thread_id)),
    )
    await check_the_new_run_got_its_turn(lab, claim, advanced, created)


async def test_a_run_created_just_before_another_ends_gets_its_turn(lab: Lab) -> None:
    claim = await claimed(lab.store)
    created, advanced = await lab.in_order(
        claim.thread_id,
        lab.another().create_run(a_run(claim.thread_id)),
        lab.store.advance(claim, DONE),
    )
    await check_the_new_run_got_its_turn(lab, claim, advanced, created)


async def test_a_resume_sent_as_the_question_is_asked_is_taken_or_refused(lab: Lab) -> None:
    claim = await claimed(lab.store)
    resume = a_run(claim.thread_id, kwargs={"command": {"resume": 1}}, multitask_strategy="reject")
    advanced, created = await lab.in_order(
        claim.thread_id,
        lab.store.advance(claim, step_to("c1", Ending.INTERRUPTED)),
        lab.another().create_run(resume),
    )
    assert isinstance(advanced, Advanced), advanced
    thread = await lab.store.get_thread(claim.thread_id, OWNER)
    if isinstance(created, Created):
        assert (thread.status, thread.active_run_id) == (ThreadStatus.BUSY, created.run.run_id)
        assert created.job == StepJob(claim.thread_id, 1)
    else:
        assert isinstance(created, Conflict), created
        assert (thread.status, thread.active_run_id) == (ThreadStatus.INTERRUPTED, None)


async def test_of_two_runs_created_at_once_one_starts_and_one_waits(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await new_thread(lab.store)
        made = await both(
            lab.store.create_run(a_run(thread_id)), rival.create_run(a_run(thread_id))
        )
        assert kinds(made) == ["Created", "Created"], made
        (active,) = [created for created in made if created.job]
        (waiting,) = [created for created in made if not created.job]
        thread = await lab.store.get_thread(thread_id, OWNER)
        assert thread.active_run_id == active.run.run_id
        assert thread.queued == (waiting.run.run_id,)


async def test_of_two_rejecting_runs_created_at_once_one_is_refused(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await new_thread(lab.store)
        made = await both(
            lab.store.create_run(a_run(thread_id, multitask_strategy="reject")),
            rival.create_run(a_run(thread_id, multitask_strategy="reject")),
        )
        assert kinds(made) == ["Conflict", "Created"], made
        runs = await lab.store.list_runs(thread_id, OWNER, status=None, limit=10, offset=0)
        assert len(runs) == 1


async def test_a_rejecting_run_that_waited_for_another_is_told_the_thread_is_busy(
    lab: Lab,
) -> None:
    thread_id = await new_thread(lab.store)
    created, refused = await lab.in_order(
        thread_id,
        lab.store.create_run(a_run(thread_id)),
        lab.another().create_run(a_run(thread_id, multitask_strategy="reject")),
    )
    assert isinstance(created, Created), created
    assert isinstance(refused, Conflict), repr(refused)


async def test_an_answer_given_twice_at_once_is_taken_once(lab: Lab) -> None:
    claim = await claimed(lab.store)
    await lab.store.advance(claim, step_to("c1", Ending.INTERRUPTED))
    answer = {"kwargs": {"command": {"resume": 1}}, "multitask_strategy": "reject"}
    taken, refused = await lab.in_order(
        claim.thread_id,
        lab.store.create_run(a_run(claim.thread_id, **answer)),
        lab.another().create_run(a_run(claim.thread_id, **answer)),
    )
    assert isinstance(taken, Created), taken
    assert isinstance(refused, Conflict), repr(refused)


async def test_many_runs_created_at_once_all_wait_in_one_queue(lab: Lab) -> None:
    stores = [lab.store, *(lab.another() for _ in range(7))]
    claim = await claimed(lab.store)
    made = await both(*(store.create_run(a_run(claim.thread_id)) for store in stores))
    assert kinds(made) == ["Created"] * 8, made
    thread = await lab.store.get_thread(claim.thread_id, OWNER)
    assert sorted(thread.queued) == sorted(created.run.run_id for created in made)
    for expected in thread.queued:
        advanced = await lab.store.advance(claim, DONE)
        assert advanced.next_job is not None
        claim = await take(lab.store, advanced.next_job)
        assert run_of(claim).run_id == expected


@pytest.mark.parametrize("ordered", [True, False], ids=["in order", "at once"])
async def test_a_request_repeated_at_once_makes_one_run(lab: Lab, ordered: bool) -> None:
    rival = lab.another()
    for attempt in range(1 if ordered else ROUNDS):
        thread_id = await new_thread(lab.store)
        key = {"idempotency_key": f"key {attempt}", "request_hash": "h"}
        calls = (
            lab.store.create_run(a_run(thread_id, **key)),
            rival.create_run(a_run(thread_id, **key)),
        )
        made = await (lab.in_order(thread_id, *calls) if ordered else both(*calls))
        assert kinds(made) == ["Created", "Created"], made
        assert made[0].run.run_id == made[1].run.run_id
        assert sorted(created.repeated for created in made) == [False, True]
        assert len([created for created in made if created.job]) == 1
        runs = await lab.store.list_runs(thread_id, OWNER, status=None, limit=10, offset=0)
        thread = await lab.store.get_thread(thread_id, OWNER)
        assert [run.run_id for run in runs] == [thread.active_run_id]
        assert thread.queued == ()


async def test_a_key_used_at_once_for_two_requests_is_a_conflict_for_one(lab: Lab) -> None:
    rival = lab.another()
    for attempt in range(ROUNDS):
        one, other = await new_thread(lab.store), await new_thread(lab.store)
        key = f"key {attempt}"
        made = await both(
            lab.store.create_run(a_run(one, idempotency_key=key, request_hash="one")),
            rival.create_run(a_run(other, idempotency_key=key, request_hash="other")),
        )
        assert kinds(made) == ["Conflict", "Created"], made
        threads = [await lab.store.get_thread(t, OWNER) for t in (one, other)]
        statuses = sorted(thread.status for thread in threads)
        assert statuses == [ThreadStatus.BUSY, ThreadStatus.IDLE]
