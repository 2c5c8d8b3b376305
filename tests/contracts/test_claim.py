"""What a message gets when it asks for a step."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from graph.runtime.models import Ending, RunStatus, StepJob, StepResult, ThreadStatus, Verdict
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    MORE,
    OWNER,
    a_thread,
    claimed,
    plain,
    refusal,
    rows_of,
    run_of,
    started,
    step_to,
    stepped,
    take,
    verdict,
    write,
)
from tests.contracts.lab import Lab

KWARGS = {
    "input": {"text": 'ü 漢字 "quoted" \\', "n": 1.5, "none": None, "deep": [[1], {"a": []}]},
    "command": {"goto": "b"},
    "config": {"recursion_limit": 7},
    "interrupt_before": ["b"],
}


async def test_the_first_claim_of_a_run_carries_the_run_and_no_checkpoint(store: Store) -> None:
    run, job = await started(store, kwargs=KWARGS, metadata={"who": "me"})
    claim = await take(store, job)
    assert (claim.thread_id, claim.owner, claim.seq) == (run.thread_id, OWNER, 0)
    assert (claim.attempts, claim.head, claim.stored) == (1, None, None)
    assert run_of(claim).run_id == run.run_id
    assert run_of(claim).kwargs == KWARGS
    assert run_of(claim).metadata == {"who": "me"}
    assert run_of(claim).graph_id == "chat"


async def test_a_claim_makes_a_pending_run_running(store: Store) -> None:
    run, job = await started(store)
    assert run.status is RunStatus.PENDING
    claim = await take(store, job)
    assert run_of(claim).status is RunStatus.RUNNING
    found = await store.get_run(run.run_id, run.thread_id, OWNER)
    assert found.status is RunStatus.RUNNING


async def test_a_message_for_an_unknown_thread_is_told_it_is_gone(store: Store) -> None:
    answer = await refusal(store, StepJob(a_thread().thread_id, 0))
    assert (answer.verdict, answer.seq, answer.active) == (Verdict.GONE, 0, False)


async def test_a_message_for_a_finished_step_is_a_duplicate(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, MORE)
    answer = await refusal(store, StepJob(claim.thread_id, 0))
    assert (answer.verdict, answer.seq, answer.active) == (Verdict.DUPLICATE, 1, True)
    assert answer.leased_for == 0.0


async def test_a_message_for_a_thread_without_an_active_run_is_a_duplicate(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, DONE)
    answer = await refusal(store, StepJob(claim.thread_id, 1))
    assert (answer.verdict, answer.seq, answer.active) == (Verdict.DUPLICATE, 1, False)


async def test_a_duplicate_learns_of_the_lease_on_the_next_step(store: Store) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, MORE)
    assert advanced.next_job is not None
    await take(store, advanced.next_job, lease=60)
    answer = await refusal(store, StepJob(claim.thread_id, 0))
    assert answer.verdict is Verdict.DUPLICATE
    assert 50 < answer.leased_for <= 60


@pytest.mark.parametrize("ahead", [1, 1000])
async def test_a_message_ahead_of_the_thread_is_early(store: Store, ahead: int) -> None:
    run, _ = await started(store)
    answer = await refusal(store, StepJob(run.thread_id, ahead))
    assert (answer.verdict, answer.seq, answer.active) == (Verdict.EARLY, 0, True)


async def test_a_step_leased_to_another_is_busy_and_says_for_how_long(store: Store) -> None:
    _, job = await started(store)
    await take(store, job, lease=60)
    answer = await refusal(store, job)
    assert answer.verdict is Verdict.BUSY
    assert 50 < answer.leased_for <= 60
    assert answer.active


async def test_a_refused_message_takes_nothing_from_the_holder(store: Store) -> None:
    claim = await claimed(store)
    assert await verdict(store, StepJob(claim.thread_id, 0)) is Verdict.BUSY
    assert await verdict(store, StepJob(claim.thread_id, 1)) is Verdict.EARLY
    advanced = await store.advance(claim, MORE)
    assert advanced.next_job == StepJob(claim.thread_id, 1)


async def test_a_step_is_taken_over_when_its_lease_is_over(store: Store) -> None:
    _, job = await started(store)
    first = await take(store, job, lease=60)
    assert await verdict(store, job, now=datetime.now(UTC) + timedelta(seconds=55)) is Verdict.BUSY
    second = await take(store, job, now=datetime.now(UTC) + timedelta(seconds=61))
    assert second.fence > first.fence
    assert (first.attempts, second.attempts) == (1, 2)


async def test_a_lease_of_no_length_is_over_at_once(store: Store) -> None:
    _, job = await started(store)
    await take(store, job, lease=0)
    assert (await take(store, job)).attempts == 2


async def test_a_step_not_yet_due_sleeps_whatever_rings(store: Store) -> None:
    _, job = await started(store, delay=3600)
    answer = await refusal(store, replace(job, redelivered=True))
    assert answer.verdict is Verdict.ASLEEP
    assert 3500 < answer.due_in <= 3600
    claim = await take(store, job, now=datetime.now(UTC) + timedelta(seconds=3601))
    assert claim.attempts == 1


async def test_the_kill_switch_refuses_what_could_be_claimed_and_changes_nothing(lab: Lab) -> None:
    _, job = await started(lab.store)
    stopped = lab.another(stopped=True)
    answer = await refusal(stopped, job)
    assert (answer.verdict, answer.seq, answer.active) == (Verdict.STOPPED, 0, True)
    assert await verdict(stopped, StepJob(job.thread_id, 5)) is Verdict.EARLY
    assert (await take(lab.store, job)).attempts == 1
    assert await verdict(stopped, job) is Verdict.BUSY


async def test_the_kill_switch_lets_a_step_in_flight_be_saved(lab: Lab) -> None:
    claim = await claimed(lab.store)
    advanced = await lab.another(stopped=True).advance(claim, MORE)
    assert advanced.next_job == StepJob(claim.thread_id, 1)


async def test_a_claim_carries_the_head_with_its_values_and_pending_writes(store: Store) -> None:
    claim = await claimed(store)
    result = step_to("c1")
    saved = replace(result.rows, writes=(write("c1", 0), write("c1", 1), write("c1", -3)))
    await store.advance(claim, replace(result, rows=saved))
    claim = await take(store, StepJob(claim.thread_id, 1))
    row, blobs, writes = plain(claim.stored)
    assert claim.head == "c1"
    assert row == saved.checkpoints[0]
    assert blobs == {value.blob_id: value for value in saved.blobs}
    assert writes == sorted(saved.writes, key=lambda w: w.idx)


async def test_a_run_starts_where_the_thread_stands(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    claim = await claimed(store, thread_id)
    assert claim.head == "c2"
    assert plain(claim.stored) == plain(await store.load(thread_id, "", "c2"))


async def test_a_run_starts_from_the_checkpoint_it_names_until_its_input_is_in(
    store: Store,
) -> None:
    thread_id = await stepped(store, "c1", "c2", "c3")
    claim = await claimed(store, thread_id, kwargs={"checkpoint_id": "c1", "input": {"x": 1}})
    assert claim.head == "c3"
    assert plain(claim.stored) == plain(await store.load(thread_id, "", "c1"))
    await store.advance(claim, step_to("fork"))
    claim = await take(store, StepJob(thread_id, claim.seq + 1))
    assert plain(claim.stored) == plain(await store.load(thread_id, "", "fork"))


async def test_input_that_was_applied_is_not_given_again(store: Store) -> None:
    claim = await claimed(store, kwargs=KWARGS)
    await store.advance(claim, StepResult(Ending.MORE, input_applied=True))
    claim = await take(store, StepJob(claim.thread_id, 1))
    assert run_of(claim).input_applied
    left = {"config": {"recursion_limit": 7}, "interrupt_before": ["b"]}
    assert run_of(claim).kwargs == left
    found = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert found.kwargs == KWARGS


async def test_input_is_given_again_as_long_as_it_was_not_applied(store: Store) -> None:
    claim = await claimed(store, kwargs=KWARGS)
    await store.advance(claim, StepResult(Ending.PARTIAL))
    claim = await take(store, StepJob(claim.thread_id, 0))
    assert run_of(claim).kwargs == KWARGS


async def test_every_claim_has_a_higher_fence_than_all_before(store: Store) -> None:
    _, job = await started(store)
    fences = []
    for seq in range(4):
        await take(store, StepJob(job.thread_id, seq), lease=0)
        claim = await take(store, StepJob(job.thread_id, seq))
        fences.append(claim.fence)
        await store.advance(claim, step_to(f"c{seq}"))
    assert fences == sorted(set(fences))


async def test_attempts_count_from_one_again_when_the_thread_has_moved(store: Store) -> None:
    _, job = await started(store)
    for _ in range(3):
        claim = await take(store, job, lease=0)
    assert claim.attempts == 3
    await store.advance(claim, MORE)
    assert (await take(store, StepJob(job.thread_id, 1))).attempts == 1


async def test_attempts_count_from_one_for_the_next_run(store: Store) -> None:
    _, job = await started(store)
    for _ in range(3):
        await take(store, job, lease=0)
    claim = await take(store, job)
    await store.advance(claim, StepResult(Ending.FAILED, error={"error": "E", "message": "m"}))
    claim = await claimed(store, job.thread_id)
    assert claim.attempts == 1
    thread = await store.get_thread(job.thread_id, OWNER)
    assert thread.status is ThreadStatus.BUSY


async def test_changing_what_was_given_changes_nothing_stored(store: Store) -> None:
    claim = await claimed(store, kwargs={"input": {"list": [1]}})
    run_of(claim).kwargs["input"]["list"].append(2)
    found = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    found.kwargs["input"]["list"].append(3)
    again = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert again.kwargs == {"input": {"list": [1]}}


async def test_a_claim_is_of_one_thread_only(store: Store) -> None:
    _, one = await started(store)
    _, other = await started(store)
    first = await take(store, one)
    second = await take(store, other)
    await store.advance(first, step_to("c1"))
    assert (await store.get_thread(second.thread_id, OWNER)).head is None
    await store.advance(second, StepResult(Ending.MORE, rows=rows_of("c1", "c2"), head="c2"))
    assert (await store.get_thread(first.thread_id, OWNER)).head == "c1"
