"""Calls that meet at the same thread: as if one had come after the other, and nothing lost."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import AgentError, Conflict, LostClaim, NotFound
from graph.runtime.models import (
    Advanced,
    Claim,
    Created,
    Ending,
    Refusal,
    RunStatus,
    StepJob,
    ThreadStatus,
    Verdict,
)
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    OWNER,
    a_run,
    a_thread,
    claimed,
    dump,
    ids,
    new_thread,
    plain,
    rows_of,
    run_of,
    started,
    step_to,
    stepped,
    take,
)
from tests.contracts.lab import Lab

ROUNDS = 50


async def both(*calls: Any) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(results: list[Any]) -> list[str]:
    return sorted(type(result).__name__ for result in results)


async def test_of_two_claims_at_once_exactly_one_is_given(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        _, job = await started(lab.store)
        answers = await both(lab.store.claim(job, lease=60), rival.claim(job, lease=60))
        assert kinds(answers) == ["Claim", "Refusal"], answers
        refused = next(a for a in answers if isinstance(a, Refusal))
        assert refused.verdict is Verdict.BUSY


async def test_of_many_claims_at_once_exactly_one_is_given(lab: Lab) -> None:
    stores = [lab.store, *(lab.another() for _ in range(7))]
    for _ in range(5):
        _, job = await started(lab.store)
        answers = await both(*(store.claim(job, lease=60) for store in stores))
        assert kinds(answers) == ["Claim", *["Refusal"] * 7], answers


async def test_a_claim_that_waited_for_an_advance_starts_from_what_it_saved(lab: Lab) -> None:
    claim = await claimed(lab.store)
    await lab.store.advance(claim, step_to("c1"))
    claim = await take(lab.store, StepJob(claim.thread_id, 1))
    advanced, answer = await lab.in_order(
        claim.thread_id,
        lab.store.advance(claim, step_to("c2")),
        lab.another().claim(StepJob(claim.thread_id, 2), lease=60),
    )
    assert advanced == Advanced(StepJob(claim.thread_id, 2))
    if isinstance(answer, Refusal):  # it may also say that it came too early, and come again
        assert answer.verdict is Verdict.EARLY
        answer = await lab.store.claim(StepJob(claim.thread_id, 2), lease=60)
    assert isinstance(answer, Claim), answer
    assert answer.head == "c2"
    assert plain(answer.stored) == plain(await lab.store.load(claim.thread_id, "", "c2"))


async def test_a_take_over_that_waited_for_a_save_starts_from_what_it_saved(lab: Lab) -> None:
    _, job = await started(lab.store)
    dying = await take(lab.store, job, lease=0)
    saved, answer = await lab.in_order(
        job.thread_id,
        lab.store.save(dying, rows_of("c1"), input_applied=True),
        lab.another().claim(job, lease=60),
    )
    assert saved is None
    if isinstance(answer, Refusal):
        assert answer.verdict is Verdict.BUSY
        answer = await lab.store.claim(job, lease=60)
    assert isinstance(answer, Claim), answer
    assert (answer.head, run_of(answer).input_applied) == ("c1", True)
    assert plain(answer.stored) == plain(await lab.store.load(job.thread_id, "", "c1"))


async def test_a_take_over_sees_the_pending_writes_saved_while_it_waited(lab: Lab) -> None:
    _, job = await started(lab.store)
    first = await take(lab.store, job, lease=0)
    await lab.store.save(first, replace(rows_of("c1"), writes=()), input_applied=True)
    _, answer = await lab.in_order(
        job.thread_id,
        lab.store.save(first, replace(rows_of("c1"), checkpoints=()), input_applied=False),
        lab.another().claim(job, lease=60),
    )
    if isinstance(answer, Refusal):
        assert answer.verdict is Verdict.BUSY
        answer = await lab.store.claim(job, lease=60)
    assert isinstance(answer, Claim), answer
    assert plain(answer.stored) == plain(await lab.store.load(job.thread_id, "", "c1"))


async def test_a_claim_during_an_advance_gets_the_next_step_whole_or_not_yet(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        advanced, answer = await both(
            lab.store.advance(claim, step_to("c1")),
            rival.claim(StepJob(claim.thread_id, 1), lease=60),
        )
        assert advanced == Advanced(StepJob(claim.thread_id, 1))
        if isinstance(answer, Refusal):
            assert answer.verdict is Verdict.EARLY
        else:
            assert plain(answer.stored) == plain(await lab.store.load(claim.thread_id, "", "c1"))


@pytest.mark.parametrize("first", ["save", "advance"])
async def test_a_zombie_that_waited_for_the_take_over_writes_nothing(lab: Lab, first: str) -> None:
    _, job = await started(lab.store)
    zombie = await take(lab.store, job, lease=0)
    late = (
        lab.another().save(zombie, rows_of("zombie"), input_applied=True)
        if first == "save"
        else lab.another().advance(zombie, step_to("zombie", Ending.DONE))
    )
    holder, refused = await lab.in_order(job.thread_id, lab.store.claim(job, lease=60), late)
    assert isinstance(holder, Claim), holder
    assert isinstance(refused, LostClaim), refused
    assert await ids(lab.store, job.thread_id) == []
    advanced = await lab.store.advance(holder, step_to("c1"))
    assert advanced.next_job == StepJob(job.thread_id, 1)


async def test_of_two_advances_of_one_claim_exactly_one_is_saved(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        results = await both(
            lab.store.advance(claim, step_to("c1")), rival.advance(claim, step_to("c2"))
        )
        assert kinds(results) == ["Advanced", "LostClaim"], results
        winner = "c1" if isinstance(results[0], Advanced) else "c2"
        assert await ids(lab.store, claim.thread_id) == [winner]
        thread = await lab.store.get_thread(claim.thread_id, OWNER)
        assert (thread.seq, thread.head) == (1, winner)


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


async def check_cancelled_or_ended(lab: Lab, claim: Claim, advanced: Any, cancelled: Any) -> None:
    """One of the two came first, and the thread is free either way."""
    run = await lab.store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    thread = await lab.store.get_thread(claim.thread_id, OWNER)
    assert (thread.active_run_id, thread.status) == (None, ThreadStatus.IDLE)
    outcome = kinds([advanced, cancelled])
    if isinstance(advanced, LostClaim):
        assert isinstance(cancelled, Advanced), cancelled
        assert (run.status, thread.seq) == (RunStatus.INTERRUPTED, 1)
        assert await ids(lab.store, claim.thread_id) == []
    elif isinstance(cancelled, Conflict):
        assert (run.status, thread.seq, thread.head) == (RunStatus.SUCCESS, 1, "c1")
    else:
        assert outcome == ["Advanced", "Advanced"], outcome
        assert (run.status, thread.seq, thread.head) == (RunStatus.INTERRUPTED, 2, "c1")


@pytest.mark.parametrize("ending", [Ending.MORE, Ending.DONE])
async def test_cancel_and_advance_at_once_leave_the_thread_free(lab: Lab, ending: Ending) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        run_id = run_of(claim).run_id
        advanced, cancelled = await both(
            lab.store.advance(claim, step_to("c1", ending)),
            rival.cancel_run(run_id, claim.thread_id, OWNER),
        )
        await check_cancelled_or_ended(lab, claim, advanced, cancelled)


@pytest.mark.parametrize("cancel_first", [True, False], ids=["cancel first", "advance first"])
@pytest.mark.parametrize("ending", [Ending.MORE, Ending.DONE])
async def test_cancel_and_advance_in_either_order(
    lab: Lab, ending: Ending, cancel_first: bool
) -> None:
    claim = await claimed(lab.store)
    advance = lab.store.advance(claim, step_to("c1", ending))
    cancel = lab.another().cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    order = (cancel, advance) if cancel_first else (advance, cancel)
    results = await lab.in_order(claim.thread_id, *order)
    advanced, cancelled = results[::-1] if cancel_first else results
    await check_cancelled_or_ended(lab, claim, advanced, cancelled)
    assert isinstance(advanced, LostClaim) is cancel_first, results


async def test_cancelling_a_queued_run_as_its_turn_comes_never_loses_the_thread(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        queued = (await lab.store.create_run(a_run(claim.thread_id))).run
        advanced, cancelled = await both(
            lab.store.advance(claim, DONE),
            rival.cancel_run(queued.run_id, claim.thread_id, OWNER),
        )
        assert kinds([advanced, cancelled]) == ["Advanced", "Advanced"], (advanced, cancelled)
        thread = await lab.store.get_thread(claim.thread_id, OWNER)
        assert (thread.active_run_id, thread.queued) == (None, ())
        assert thread.status is ThreadStatus.IDLE
        run = await lab.store.get_run(queued.run_id, claim.thread_id, OWNER)
        assert run.status is RunStatus.INTERRUPTED


async def test_cancelling_the_same_run_at_once_cancels_it_once(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        run, _ = await started(lab.store)
        results = await both(
            lab.store.cancel_run(run.run_id, run.thread_id, OWNER),
            rival.cancel_run(run.run_id, run.thread_id, OWNER),
        )
        assert kinds(results) == ["Advanced", "Conflict"], results
        assert (await lab.store.get_thread(run.thread_id, OWNER)).seq == 1


async def test_of_an_edit_and_a_run_at_once_neither_is_lost(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await stepped(lab.store, "c1")
        held, created = await both(
            lab.store.hold(thread_id, OWNER, lease=60), rival.create_run(a_run(thread_id))
        )
        assert isinstance(created, Created), created
        assert created.job == StepJob(thread_id, 1)
        if isinstance(held, Claim):
            await lab.store.advance(held, step_to("edited", Ending.DONE))
        else:
            assert isinstance(held, Conflict), held
        claim = await take(lab.store, created.job)
        assert claim.head == ("edited" if isinstance(held, Claim) else "c1")


async def test_of_two_edits_at_once_one_is_refused(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await new_thread(lab.store)
        results = await both(
            lab.store.hold(thread_id, OWNER, lease=60), rival.hold(thread_id, OWNER, lease=60)
        )
        assert kinds(results) == ["Claim", "Conflict"], results


async def test_an_edit_that_waited_for_a_run_to_end_sees_what_it_left(lab: Lab) -> None:
    claim = await claimed(lab.store)
    _, held = await lab.in_order(
        claim.thread_id,
        lab.store.advance(claim, step_to("c1", Ending.DONE)),
        lab.another().hold(claim.thread_id, OWNER, lease=60),
    )
    if isinstance(held, Conflict):  # it may also still have seen the run
        held = await lab.store.hold(claim.thread_id, OWNER, lease=60)
    assert isinstance(held, Claim), held
    assert held.head == "c1"
    assert plain(held.stored) == plain(await lab.store.load(claim.thread_id, "", "c1"))


Meet = Callable[[Store, Claim], Any]
MEETINGS: dict[str, Meet] = {
    "advance": lambda store, claim: store.advance(claim, step_to("c1")),
    "save": lambda store, claim: store.save(claim, rows_of("c1"), input_applied=True),
    "create_run": lambda store, claim: store.create_run(a_run(claim.thread_id)),
    "cancel_run": lambda store, claim: store.cancel_run(
        run_of(claim).run_id, claim.thread_id, OWNER
    ),
    "update_thread": lambda store, claim: store.update_thread(
        claim.thread_id, OWNER, metadata={"a": 1}
    ),
}


@pytest.mark.parametrize("meet", MEETINGS.values(), ids=MEETINGS.keys())
@pytest.mark.parametrize("ordered", [True, False], ids=["delete first", "at once"])
async def test_deleting_a_thread_leaves_nothing_whatever_meets_it(
    lab: Lab, meet: Meet, ordered: bool
) -> None:
    rival = lab.another()
    for _ in range(1 if ordered else ROUNDS // 5):
        claim = await claimed(lab.store)
        calls = (lab.store.delete_thread(claim.thread_id, OWNER), meet(rival, claim))
        deleted, met = await (lab.in_order(claim.thread_id, *calls) if ordered else both(*calls))
        assert deleted is None
        if isinstance(met, BaseException):
            assert isinstance(met, NotFound | Conflict | LostClaim), repr(met)
        assert isinstance(met, AgentError) or not ordered, met
        assert await dump(lab.store, claim.thread_id) == (None, [], [])
        assert await lab.store.runs_by_id([run_of(claim).run_id]) == []


async def test_two_sweeps_at_once_ring_once(lab: Lab) -> None:
    rival = lab.another()
    waiting = []
    for _ in range(10):
        run, _ = await started(lab.store)
        waiting.append(run.thread_id)
    later = datetime.now(UTC) + timedelta(hours=1)
    one, other = await both(
        lab.store.overdue(grace=60, limit=100, now=later),
        rival.overdue(grace=60, limit=100, now=later),
    )
    assert sorted(job.thread_id for job, _ in [*one, *other]) == sorted(waiting)


async def test_a_sweep_that_meets_the_last_step_of_a_run_does_not_ring_for_it(lab: Lab) -> None:
    _, job = await started(lab.store)
    claim = await take(lab.store, job, lease=0)
    advanced, rung = await lab.in_order(
        claim.thread_id,
        lab.store.advance(claim, DONE),
        lab.another().overdue(grace=0, limit=10),
    )
    assert isinstance(advanced, Advanced), advanced
    assert rung == []


async def test_a_thread_that_gets_a_run_as_it_expires_is_not_half_gone(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        thread_id = await new_thread(lab.store, ttl_minutes=1.0, ttl_strategy="delete")
        later = datetime.now(UTC) + timedelta(hours=1)
        expired, created = await both(
            rival.expire_threads(limit=10, now=later), lab.store.create_run(a_run(thread_id))
        )
        if isinstance(created, Created):
            assert expired == 0
            assert created.job is not None
            await take(lab.store, created.job)
        else:
            assert isinstance(created, NotFound), created
            assert expired == 1


async def test_metadata_merged_at_once_is_all_there(lab: Lab) -> None:
    stores = [lab.store, *(lab.another() for _ in range(7))]
    thread_id = await new_thread(lab.store)
    await both(
        *(
            store.update_thread(thread_id, OWNER, metadata={f"key {n}": n})
            for n, store in enumerate(stores)
        )
    )
    thread = await lab.store.get_thread(thread_id, OWNER)
    assert thread.metadata == {f"key {n}": n for n in range(8)}


async def test_a_thread_made_at_once_by_two_is_made_once(lab: Lab) -> None:
    rival = lab.another()
    for if_exists, expected in (
        ("raise", ["Conflict", "Thread"]),
        ("do_nothing", ["Thread", "Thread"]),
    ):
        for _ in range(ROUNDS // 5):
            thread = a_thread()
            made = await both(
                lab.store.create_thread(thread, if_exists=if_exists),
                rival.create_thread(thread, if_exists=if_exists),
            )
            assert kinds(made) == expected, made
