"""A claim that was lost writes nothing."""

from dataclasses import replace

import pytest

from graph.errors import LostClaim
from graph.runtime.models import (
    Ending,
    Rows,
    StepJob,
    ThreadStatus,
)
from graph.runtime.ports import Store
from tests.contracts.builders import (
    OWNER,
    QUESTION,
    a_thread,
    claimed,
    dump,
    ids,
    plain,
    rows_of,
    started,
    step_to,
    take,
)

ERROR = {"error": "ValueError", "message": "no"}
UNFINISHED = [Ending.PARTIAL, Ending.LATER]


async def test_a_lease_that_ran_out_can_still_advance_if_nobody_took_over(store: Store) -> None:
    _, job = await started(store)
    claim = await take(store, job, lease=0)
    advanced = await store.advance(claim, step_to("c1"))
    assert advanced.next_job == StepJob(claim.thread_id, 1)


async def test_a_claim_that_was_taken_over_can_neither_save_nor_advance(store: Store) -> None:
    _, job = await started(store)
    stale = await take(store, job, lease=0)
    holder = await take(store, job)
    before = await dump(store, job.thread_id)
    with pytest.raises(LostClaim):
        await store.save(stale, rows_of("zombie"), input_applied=True)
    for ending in Ending:
        with pytest.raises(LostClaim):
            await store.advance(stale, step_to("zombie", ending, error=ERROR, interrupts=QUESTION))
    assert await dump(store, job.thread_id) == before
    assert await store.load(job.thread_id, "", "zombie") is None
    await store.advance(holder, step_to("c1"))
    assert await ids(store, job.thread_id) == ["c1"]


async def test_values_of_a_lost_claim_are_not_kept_either(store: Store) -> None:
    _, job = await started(store)
    stale = await take(store, job, lease=0)
    holder = await take(store, job)
    with pytest.raises(LostClaim):
        await store.advance(stale, step_to("c1"))
    await store.advance(holder, step_to("c1", rows=Rows(checkpoints=rows_of("c1").checkpoints)))
    assert plain(await store.load(job.thread_id, "", "c1"))[1:] == ({}, [])


@pytest.mark.parametrize("ending", list(Ending))
async def test_a_claim_advances_once(store: Store, ending: Ending) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1", ending))
    before = await dump(store, claim.thread_id)
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("c2", ending))
    with pytest.raises(LostClaim):
        await store.save(claim, rows_of("c2"), input_applied=True)
    assert await dump(store, claim.thread_id) == before


async def test_a_claim_on_a_deleted_thread_is_lost(store: Store) -> None:
    claim = await claimed(store)
    await store.delete_thread(claim.thread_id, OWNER)
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("c1"))
    with pytest.raises(LostClaim):
        await store.save(claim, rows_of("c1"), input_applied=True)
    assert await dump(store, claim.thread_id) == (None, [], [])


async def test_a_thread_made_again_under_the_same_id_refuses_the_old_claim(store: Store) -> None:
    claim = await claimed(store)
    thread = await store.get_thread(claim.thread_id, OWNER)
    await store.delete_thread(claim.thread_id, OWNER)
    fresh = replace(thread, status=ThreadStatus.IDLE, active_run_id=None)
    await store.create_thread(fresh)
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("c1"))
    assert await ids(store, claim.thread_id) == []


async def test_a_claim_made_on_a_thread_made_again_is_safe_from_the_old_one(store: Store) -> None:
    stale = await claimed(store)
    await store.delete_thread(stale.thread_id, OWNER)
    await store.create_thread(a_thread(thread_id=stale.thread_id))
    holder = await claimed(store, stale.thread_id)
    with pytest.raises(LostClaim):
        await store.save(stale, rows_of("zombie"), input_applied=True)
    with pytest.raises(LostClaim):
        await store.advance(stale, step_to("zombie"))
    await store.advance(holder, step_to("c1"))
    assert await ids(store, stale.thread_id) == ["c1"]
