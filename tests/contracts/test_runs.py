"""Looking at runs, cancelling and deleting them."""

import pytest

from graph.errors import Conflict, LostClaim, NotFound
from graph.runtime.models import Ending, RunStatus, StepJob, StepResult, ThreadStatus, Verdict
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
    run_of,
    started,
    step_to,
    stepped,
    take,
    verdict,
)


async def listed(
    store: Store,
    thread_id: str,
    *,
    status: RunStatus | None = None,
    limit: int = 10,
    offset: int = 0,
) -> list[str]:
    runs = await store.list_runs(thread_id, OWNER, status=status, limit=limit, offset=offset)
    return [run.run_id for run in runs]


async def test_runs_are_listed_newest_first_by_page_and_status(store: Store) -> None:
    thread_id = await new_thread(store)
    made = [(await store.create_run(a_run(thread_id))).run.run_id for _ in range(4)]
    await started(store)
    assert await listed(store, thread_id) == made[::-1]
    assert await listed(store, thread_id, limit=2, offset=1) == [made[2], made[1]]
    assert await listed(store, thread_id, offset=4) == []
    await take(store, StepJob(thread_id, 0))
    assert await listed(store, thread_id, status=RunStatus.RUNNING) == [made[0]]
    assert await listed(store, thread_id, status=RunStatus.PENDING) == made[:0:-1]


async def test_listing_runs_needs_the_thread(store: Store) -> None:
    with pytest.raises(NotFound, match="thread"):
        await listed(store, a_thread().thread_id)


async def test_a_run_is_found_on_its_own_thread_only(store: Store) -> None:
    run, _ = await started(store)
    elsewhere = await new_thread(store)
    assert await store.get_run(run.run_id, run.thread_id, OWNER) == run
    with pytest.raises(NotFound, match=run.run_id):
        await store.get_run(run.run_id, elsewhere, OWNER)
    with pytest.raises(NotFound):
        await store.get_run(a_run(elsewhere).run_id, elsewhere, OWNER)


async def test_runs_are_found_by_id_and_missing_ones_left_out(store: Store) -> None:
    one, _ = await started(store)
    other, _ = await started(store)
    missing = a_run(one.thread_id).run_id
    found = await store.runs_by_id([one.run_id, missing, other.run_id])
    assert {run.run_id: run for run in found} == {one.run_id: one, other.run_id: other}
    assert await store.runs_by_id([]) == []


async def test_cancelling_a_pending_run_ends_it_and_frees_the_thread(store: Store) -> None:
    run, job = await started(store)
    advanced = await store.cancel_run(run.run_id, run.thread_id, OWNER)
    assert advanced.next_job is None
    found = await store.get_run(run.run_id, run.thread_id, OWNER)
    assert found.status is RunStatus.INTERRUPTED
    thread = await store.get_thread(run.thread_id, OWNER)
    assert (thread.status, thread.active_run_id, thread.seq) == (ThreadStatus.IDLE, None, 1)
    assert await verdict(store, job) is Verdict.DUPLICATE


async def test_cancelling_a_run_in_flight_takes_its_claim_away(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    claim = await claimed(store, thread_id)
    await store.cancel_run(run_of(claim).run_id, thread_id, OWNER)
    before = await dump(store, thread_id)
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("zombie"))
    assert await dump(store, thread_id) == before
    found = await store.get_run(run_of(claim).run_id, thread_id, OWNER)
    assert (found.status, found.head) == (RunStatus.INTERRUPTED, "c1")


async def test_a_cancelled_threads_next_run_starts_at_once(store: Store) -> None:
    claim = await claimed(store)
    await store.cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    _, job = await started(store, claim.thread_id)
    assert job == StepJob(claim.thread_id, 1)
    again = await take(store, job)
    assert again.attempts == 1
    assert again.fence > claim.fence


async def test_cancelling_a_run_gives_the_next_in_the_queue_its_turn(store: Store) -> None:
    claim = await claimed(store)
    second = (await store.create_run(a_run(claim.thread_id))).run
    third = (await store.create_run(a_run(claim.thread_id))).run
    advanced = await store.cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert advanced.next_job == StepJob(claim.thread_id, 1)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.active_run_id, thread.queued) == (second.run_id, (third.run_id,))
    assert thread.status is ThreadStatus.BUSY
    assert run_of(await take(store, advanced.next_job)).run_id == second.run_id


async def test_a_cancelled_sleeper_does_not_make_the_next_run_sleep(store: Store) -> None:
    run, _ = await started(store, delay=3600)
    await store.create_run(a_run(run.thread_id))
    advanced = await store.cancel_run(run.run_id, run.thread_id, OWNER)
    assert advanced.delay == 0.0
    assert advanced.next_job is not None
    await take(store, advanced.next_job)


async def test_cancelling_a_queued_run_leaves_the_active_one_alone(store: Store) -> None:
    claim = await claimed(store)
    second = (await store.create_run(a_run(claim.thread_id))).run
    third = (await store.create_run(a_run(claim.thread_id))).run
    advanced = await store.cancel_run(second.run_id, claim.thread_id, OWNER)
    assert advanced.next_job is None
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.active_run_id, thread.queued) == (run_of(claim).run_id, (third.run_id,))
    cancelled = await store.get_run(second.run_id, claim.thread_id, OWNER)
    assert cancelled.status is RunStatus.INTERRUPTED
    advanced = await store.advance(claim, DONE)
    assert advanced.next_job is not None
    assert run_of(await take(store, advanced.next_job)).run_id == third.run_id


@pytest.mark.parametrize("ending", [e for e in Ending if e.ends_run])
async def test_a_run_that_has_ended_cannot_be_cancelled(store: Store, ending: Ending) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(ending))
    before = await dump(store, claim.thread_id)
    with pytest.raises(Conflict, match=run_of(claim).run_id):
        await store.cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert await dump(store, claim.thread_id) == before


async def test_cancelling_twice_is_a_conflict(store: Store) -> None:
    run, _ = await started(store)
    await store.cancel_run(run.run_id, run.thread_id, OWNER)
    with pytest.raises(Conflict, match=run.run_id):
        await store.cancel_run(run.run_id, run.thread_id, OWNER)


async def test_an_unknown_run_can_be_neither_cancelled_nor_deleted(store: Store) -> None:
    run, _ = await started(store)
    elsewhere = await new_thread(store)
    for run_id, thread_id in ((a_run(elsewhere).run_id, run.thread_id), (run.run_id, elsewhere)):
        with pytest.raises(NotFound, match=run_id):
            await store.cancel_run(run_id, thread_id, OWNER)
        with pytest.raises(NotFound, match=run_id):
            await store.delete_run(run_id, thread_id, OWNER)


async def test_a_run_can_be_deleted_when_it_has_ended(store: Store) -> None:
    run, job = await started(store)
    queued = (await store.create_run(a_run(run.thread_id))).run
    for run_id in (run.run_id, queued.run_id):
        with pytest.raises(Conflict, match=run_id):
            await store.delete_run(run_id, run.thread_id, OWNER)
    claim = await take(store, job)
    with pytest.raises(Conflict, match=run.run_id):
        await store.delete_run(run.run_id, run.thread_id, OWNER)
    await store.advance(claim, step_to("c1", Ending.DONE))
    await store.delete_run(run.run_id, run.thread_id, OWNER)
    with pytest.raises(NotFound, match=run.run_id):
        await store.get_run(run.run_id, run.thread_id, OWNER)
    assert await listed(store, run.thread_id) == [queued.run_id]
    assert await ids(store, run.thread_id) == ["c1"]


async def test_the_key_of_a_deleted_run_is_free(store: Store) -> None:
    claim = await claimed(store, idempotency_key="k", request_hash="h")
    await store.advance(claim, DONE)
    await store.delete_run(run_of(claim).run_id, claim.thread_id, OWNER)
    new = a_run(claim.thread_id, idempotency_key="k", request_hash="other")
    assert not (await store.create_run(new)).repeated
