"""Keeping what finished tasks did while their siblings run on."""

from datetime import UTC, datetime, timedelta

from graph.runtime.models import Rows, StepJob, Verdict
from graph.runtime.ports import Store
from tests.contracts.builders import (
    OWNER,
    claimed,
    ids,
    plain,
    rows_of,
    run_of,
    started,
    step_to,
    take,
    verdict,
    write,
)


async def test_what_was_saved_is_there_for_the_next_claim_of_the_step(store: Store) -> None:
    _, job = await started(store)
    claim = await take(store, job)
    await store.save(claim, rows_of("c1"), input_applied=True)
    again = await take(store, job, now=datetime.now(UTC) + timedelta(seconds=61))
    assert again.head == "c1"
    assert plain(again.stored) == plain(await store.load(job.thread_id, "", "c1"))
    assert run_of(again).input_applied
    assert "input" not in run_of(again).kwargs


async def test_saving_keeps_the_claim_and_its_lease(store: Store) -> None:
    _, job = await started(store)
    claim = await take(store, job)
    await store.save(claim, rows_of("c1"), input_applied=True)
    assert await verdict(store, job) is Verdict.BUSY
    await store.save(claim, Rows(writes=(write("c1", 1),)), input_applied=False)
    advanced = await store.advance(claim, step_to("c2"))
    assert advanced.next_job == StepJob(job.thread_id, 1)
    assert await ids(store, job.thread_id) == ["c2", "c1"]


async def test_saving_without_a_root_checkpoint_leaves_the_head(store: Store) -> None:
    claim = await claimed(store)
    await store.save(claim, rows_of("c1", "c2"), input_applied=True)
    await store.save(claim, Rows(writes=(write("c2", 1),)), input_applied=False)
    assert (await store.get_thread(claim.thread_id, OWNER)).head == "c2"
    found = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert found.input_applied


async def test_a_save_of_nothing_is_no_error(store: Store) -> None:
    claim = await claimed(store)
    await store.save(claim, Rows(), input_applied=False)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.head, thread.seq) == (None, 0)
    assert not (await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)).input_applied


async def test_the_same_rows_saved_twice_are_there_once(store: Store) -> None:
    claim = await claimed(store)
    await store.save(claim, rows_of("c1"), input_applied=True)
    once = plain(await store.load(claim.thread_id, "", "c1"))
    await store.save(claim, rows_of("c1"), input_applied=True)
    await store.advance(claim, step_to("c1"))
    assert plain(await store.load(claim.thread_id, "", "c1")) == once
    assert await ids(store, claim.thread_id) == ["c1"]
