"""Claims, saves, advances and edits that meet at a thread: as if one had come after the other."""

from dataclasses import replace

import pytest

from graph.errors import Conflict, LostClaim
from graph.runtime.models import (
    Advanced,
    Claim,
    Created,
    Ending,
    Refusal,
    StepJob,
    Verdict,
)
from tests.contracts.at_once import ROUNDS, both, kinds
from tests.contracts.builders import (
    OWNER,
    a_run,
    claim_one,
    claimed,
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


async def test_of_two_claims_at_once_exactly_one_is_given(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        _, job = await started(lab.store)
        answers = await both(claim_one(lab.store, job), claim_one(rival, job))
        assert kinds(answers) == ["Claim", "Refusal"], answers
        refused = next(a for a in answers if isinstance(a, Refusal))
        assert refused.verdict is Verdict.BUSY


async def test_of_many_claims_at_once_exactly_one_is_given(lab: Lab) -> None:
    stores = [lab.store, *(lab.another() for _ in range(7))]
    for _ in range(5):
        _, job = await started(lab.store)
        answers = await both(*(claim_one(store, job) for store in stores))
        assert kinds(answers) == ["Claim", *["Refusal"] * 7], answers


async def test_of_batches_that_meet_each_step_is_given_once_and_none_waits_for_ever(
    lab: Lab,
) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        jobs = [(await started(lab.store))[1] for _ in range(10)]
        one, other = await both(
            lab.store.claim([(job, None) for job in jobs], lease=60),
            rival.claim([(job, None) for job in reversed(jobs)], lease=60),
        )
        for mine, theirs in zip(one, reversed(other), strict=True):
            assert kinds([mine, theirs]) == ["Claim", "Refusal"], (mine, theirs)


async def test_a_batch_is_answered_in_its_order_doubles_and_strangers_too(lab: Lab) -> None:
    first, second = [(await started(lab.store))[1] for _ in range(2)]
    gone, early = StepJob("nowhere", 0), StepJob(second.thread_id, 7)
    jobs = [(job, None) for job in (second, gone, first, early, first)]
    answers = await lab.store.claim(jobs, lease=60)
    given = [a.thread_id if isinstance(a, Claim) else a.verdict for a in answers]
    expected = [second.thread_id, Verdict.GONE, first.thread_id, Verdict.EARLY, Verdict.BUSY]
    assert given == expected


async def test_a_claim_that_waited_for_an_advance_starts_from_what_it_saved(lab: Lab) -> None:
    claim = await claimed(lab.store)
    await lab.store.advance(claim, step_to("c1"))
    claim = await take(lab.store, StepJob(claim.thread_id, 1))
    advanced, answer = await lab.in_order(
        claim.thread_id,
        lab.store.advance(claim, step_to("c2")),
        claim_one(lab.another(), StepJob(claim.thread_id, 2)),
    )
    assert advanced == Advanced(StepJob(claim.thread_id, 2))
    if isinstance(answer, Refusal):  # it may also say that it came too early, and come again
        assert answer.verdict is Verdict.EARLY
        answer = await claim_one(lab.store, StepJob(claim.thread_id, 2))
    assert isinstance(answer, Claim), answer
    assert answer.head == "c2"
    assert plain(answer.stored) == plain(await lab.store.load(claim.thread_id, "", "c2"))


async def test_a_take_over_that_waited_for_a_save_starts_from_what_it_saved(lab: Lab) -> None:
    _, job = await started(lab.store)
    dying = await take(lab.store, job, lease=0)
    saved, answer = await lab.in_order(
        job.thread_id,
        lab.store.save(dying, rows_of("c1"), input_applied=True),
        claim_one(lab.another(), job),
    )
    assert saved is None
    if isinstance(answer, Refusal):
        assert answer.verdict is Verdict.BUSY
        answer = await claim_one(lab.store, job)
    assert isinstance(answer, Claim), answer
    assert (answer.head, run_of(answer).input_applied) == ("c1", True)
    assert plain(answer.stored) == plain(await lab.store.load(job.thread_id, "", "c1"))


async def test_a_take_over_that_waited_for_part_of_the_step_starts_from_it(lab: Lab) -> None:
    _, job = await started(lab.store)
    slow = await take(lab.store, job, lease=0)
    advanced, answer = await lab.in_order(
        job.thread_id,
        lab.store.advance(slow, step_to("c1", Ending.PARTIAL)),
        claim_one(lab.another(), job),
    )
    assert advanced == Advanced(job)
    if isinstance(answer, Refusal):
        assert answer.verdict is Verdict.BUSY
        answer = await claim_one(lab.store, job)
    assert isinstance(answer, Claim), answer
    assert (answer.head, answer.attempts, run_of(answer).input_applied) == ("c1", 1, True)
    assert plain(answer.stored) == plain(await lab.store.load(job.thread_id, "", "c1"))


async def test_a_take_over_sees_the_pending_writes_saved_while_it_waited(lab: Lab) -> None:
    _, job = await started(lab.store)
    first = await take(lab.store, job, lease=0)
    await lab.store.save(first, replace(rows_of("c1"), writes=()), input_applied=True)
    _, answer = await lab.in_order(
        job.thread_id,
        lab.store.save(first, replace(rows_of("c1"), checkpoints=()), input_applied=False),
        claim_one(lab.another(), job),
    )
    if isinstance(answer, Refusal):
        assert answer.verdict is Verdict.BUSY
        answer = await claim_one(lab.store, job)
    assert isinstance(answer, Claim), answer
    assert plain(answer.stored) == plain(await lab.store.load(job.thread_id, "", "c1"))


async def test_a_claim_during_an_advance_gets_the_next_step_whole_or_not_yet(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        advanced, answer = await both(
            lab.store.advance(claim, step_to("c1")),
            claim_one(rival, StepJob(claim.thread_id, 1)),
        )
        assert advanced == Advanced(StepJob(claim.thread_id, 1))
        if isinstance(answer, Refusal):  # BUSY: it came in the very moment of the look
            assert answer.verdict in (Verdict.EARLY, Verdict.BUSY)
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
    holder, refused = await lab.in_order(job.thread_id, claim_one(lab.store, job), late)
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
