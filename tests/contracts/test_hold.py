"""A client's edit of a thread's state."""

import pytest

from graph.errors import Conflict, LostClaim, NotFound
from graph.runtime.models import (
    Ending,
    RunStatus,
    StepJob,
    StepResult,
    ThreadStatus,
    Verdict,
)
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    OWNER,
    QUESTION,
    STRANGER,
    a_run,
    a_thread,
    claimed,
    new_thread,
    plain,
    refusal,
    rows_of,
    run_of,
    started,
    step_to,
    stepped,
    take,
    verdict,
)


async def test_an_edit_sees_the_head_and_moves_it_without_moving_the_seq(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    claim = await store.hold(thread_id, OWNER, lease=60)
    assert (claim.run, claim.head, claim.seq, claim.owner) == (None, "c2", 2, OWNER)
    advanced = await store.advance(claim, step_to("edited", Ending.DONE))
    assert advanced.next_job is None
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.seq, thread.head, thread.status) == (2, "edited", ThreadStatus.IDLE)


async def test_an_empty_thread_can_be_edited(store: Store) -> None:
    thread_id = await new_thread(store)
    claim = await store.hold(thread_id, OWNER, lease=60)
    assert (claim.head, claim.stored, claim.seq) == (None, None, 0)
    await store.advance(claim, step_to("c1", Ending.DONE))
    assert plain(await store.load(thread_id, "", None))[0].checkpoint_id == "c1"


async def test_an_edit_decides_anew_what_the_thread_waits_for(store: Store) -> None:
    thread_id = await new_thread(store)
    asked = StepResult(Ending.INTERRUPTED, interrupts=QUESTION)
    await store.advance(await store.hold(thread_id, OWNER, lease=60), asked)
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.status, thread.interrupts) == (ThreadStatus.INTERRUPTED, QUESTION)
    await store.advance(await store.hold(thread_id, OWNER, lease=60), DONE)
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.status, thread.interrupts) == (ThreadStatus.IDLE, {})


async def test_a_busy_thread_cannot_be_edited_and_says_which_run_is_in_the_way(
    store: Store,
) -> None:
    run, job = await started(store)
    with pytest.raises(Conflict, match=f"{run.thread_id}.*{run.run_id}"):
        await store.hold(run.thread_id, OWNER, lease=60)
    claim = await take(store, job)
    with pytest.raises(Conflict, match=f"{run.thread_id}.*{run.run_id}"):
        await store.hold(run.thread_id, OWNER, lease=60)
    await store.advance(claim, DONE)
    assert (await store.hold(run.thread_id, OWNER, lease=60)).run is None


async def test_two_edits_at_a_time_are_one_too_many(store: Store) -> None:
    thread_id = await new_thread(store)
    claim = await store.hold(thread_id, OWNER, lease=60)
    with pytest.raises(Conflict, match=thread_id):
        await store.hold(thread_id, OWNER, lease=60)
    await store.advance(claim, DONE)
    await store.hold(thread_id, OWNER, lease=60)


async def test_an_edit_whose_lease_is_over_loses_to_the_next(store: Store) -> None:
    thread_id = await new_thread(store)
    stale = await store.hold(thread_id, OWNER, lease=0)
    holder = await store.hold(thread_id, OWNER, lease=60)
    with pytest.raises(LostClaim):
        await store.advance(stale, step_to("zombie", Ending.DONE))
    await store.advance(holder, step_to("c1", Ending.DONE))
    assert (await store.get_thread(thread_id, OWNER)).head == "c1"


async def test_an_edit_that_is_given_up_lets_the_next_in_at_once(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    before = await store.get_thread(thread_id, OWNER)
    claim = await store.hold(thread_id, OWNER, lease=60)
    assert (await store.release(claim)).next_job is None
    assert await store.get_thread(thread_id, OWNER) == before
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("zombie", Ending.DONE))
    await store.hold(thread_id, OWNER, lease=60)


async def test_an_edit_that_is_given_up_too_late_takes_nothing_from_the_next(store: Store) -> None:
    thread_id = await new_thread(store)
    stale = await store.hold(thread_id, OWNER, lease=0)
    holder = await store.hold(thread_id, OWNER, lease=60)
    assert (await store.release(stale)).next_job is None
    await store.advance(holder, step_to("c1", Ending.DONE))
    assert (await store.get_thread(thread_id, OWNER)).head == "c1"
    await store.delete_thread(thread_id, OWNER)
    assert (await store.release(holder)).next_job is None


async def test_a_run_accepted_during_an_edit_that_is_given_up_is_rung_again(store: Store) -> None:
    thread_id = await new_thread(store)
    claim = await store.hold(thread_id, OWNER, lease=60)
    _, job = await started(store, thread_id)
    assert (await refusal(store, job)).verdict is Verdict.BUSY
    assert (await store.release(claim)).next_job == StepJob(thread_id, 0)
    await take(store, job)


async def test_an_unknown_thread_cannot_be_edited(store: Store) -> None:
    with pytest.raises(NotFound, match="thread"):
        await store.hold(a_thread().thread_id, OWNER, lease=60)


async def test_anothers_thread_cannot_be_edited(store: Store) -> None:
    thread_id = await new_thread(store)
    with pytest.raises(NotFound, match=thread_id):
        await store.hold(thread_id, STRANGER, lease=60)
    await store.hold(thread_id, OWNER, lease=60)


async def test_an_edit_can_save_on_the_way(store: Store) -> None:
    thread_id = await new_thread(store)
    claim = await store.hold(thread_id, OWNER, lease=60)
    await store.save(claim, rows_of("c1"), input_applied=False)
    assert (await store.get_thread(thread_id, OWNER)).head == "c1"
    await store.advance(claim, step_to("c2", Ending.DONE))
    assert (await store.get_thread(thread_id, OWNER)).head == "c2"


async def test_a_run_accepted_during_an_edit_waits_for_it_and_is_rung_again(store: Store) -> None:
    thread_id = await new_thread(store)
    claim = await store.hold(thread_id, OWNER, lease=60)
    run, job = await started(store, thread_id)
    answer = await refusal(store, job)
    assert answer.verdict is Verdict.BUSY
    assert answer.leased_for > 0
    advanced = await store.advance(claim, step_to("edited", Ending.DONE))
    assert advanced.next_job == StepJob(thread_id, 0)
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.status, thread.active_run_id) == (ThreadStatus.BUSY, run.run_id)
    assert (await take(store, job)).head == "edited"


async def test_an_edit_does_not_wake_a_run_that_is_not_due(store: Store) -> None:
    thread_id = await new_thread(store)
    claim = await store.hold(thread_id, OWNER, lease=60)
    _, job = await started(store, thread_id, delay=3600)
    advanced = await store.advance(claim, step_to("edited", Ending.DONE))
    assert advanced.delay > 3500
    assert await verdict(store, job) is Verdict.ASLEEP


async def test_an_edit_leaves_runs_that_have_ended_alone(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1", Ending.DONE))
    before = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    await store.advance(
        await store.hold(claim.thread_id, OWNER, lease=60), step_to("c2", Ending.DONE)
    )
    after = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert after == before
    assert after.status is RunStatus.SUCCESS


async def test_a_message_for_an_edited_thread_without_a_run_is_a_duplicate(store: Store) -> None:
    thread_id = await new_thread(store)
    await store.hold(thread_id, OWNER, lease=60)
    assert await verdict(store, StepJob(thread_id, 0)) is Verdict.DUPLICATE


async def test_a_run_queues_behind_none_when_only_an_edit_is_under_way(store: Store) -> None:
    thread_id = await new_thread(store)
    await store.hold(thread_id, OWNER, lease=60)
    created = await store.create_run(a_run(thread_id, multitask_strategy="reject"))
    assert created.job == StepJob(thread_id, 0)
