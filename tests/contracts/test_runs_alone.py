"""Runs on threads that are made for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import RunStatus, StepJob, ThreadStatus, Verdict
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    OWNER,
    STRANGER,
    a_run,
    run_of,
    started,
    take,
    thread_name,
    verdict,
)


async def test_each_is_active_on_a_thread_of_its_own(store: Store) -> None:
    new = [
        a_run(thread_name(), thread_ttl=(60.0, "delete"), thread_metadata={"stateless": True}),
        a_run(thread_name(), metadata={"k": 1}),
    ]
    created = await store.create_alone(new)
    assert [c.run.run_id for c in created] == [n.run_id for n in new]
    assert [c.job for c in created] == [StepJob(n.thread_id, 0) for n in new]
    for each, minutes in zip(new, (60.0, None), strict=True):
        thread = await store.get_thread(each.thread_id, OWNER)
        assert (thread.active_run_id, thread.status) == (each.run_id, ThreadStatus.BUSY)
        assert thread.metadata == {**each.thread_metadata, **each.belongs}
        assert (thread.ttl_minutes, thread.ttl_strategy) == (minutes, minutes and "delete")
        claim = await take(store, StepJob(each.thread_id, 0))
        assert run_of(claim).kwargs == each.kwargs
        assert run_of(claim).metadata == {**each.metadata}
    await store.create_run(a_run(new[0].thread_id, multitask_strategy="rollback"))


async def test_the_thread_outlives_its_run_by_its_ttl(store: Store) -> None:
    new = a_run(thread_name(), thread_ttl=(60.0, "delete"))
    [created] = await store.create_alone([new])
    assert created.job is not None
    later = datetime.now(UTC) + timedelta(minutes=61)
    assert await store.expire_threads(limit=10, now=later) == 0  # its run has not ended
    await store.advance(await take(store, created.job), DONE)
    assert await store.expire_threads(limit=10) == 0
    assert (await store.get_run(new.run_id, new.thread_id, OWNER)).status is RunStatus.SUCCESS
    assert await store.expire_threads(limit=10, now=later) == 1
    with pytest.raises(NotFound):
        await store.get_run(new.run_id, new.thread_id, OWNER)


async def test_a_delay_holds(store: Store) -> None:
    [created] = await store.create_alone([a_run(thread_name(), delay=3600.0)])
    assert created.job is not None
    assert await verdict(store, created.job) is Verdict.ASLEEP


async def test_the_same_request_twice_makes_them_once(store: Store) -> None:
    new = [
        a_run(thread_name(), idempotency_key=f"batch {place}", request_hash="h")
        for place in range(2)
    ]
    again = [replace(n, run_id=a_run("t").run_id, thread_id=thread_name()) for n in new]
    first = await store.create_alone(new)
    second = await store.create_alone(again)
    assert [c.run for c in second] == [c.run for c in first]
    assert all(c.repeated and c.job is None for c in second)
    other = [replace(each, request_hash="other") for each in again]
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await store.create_alone(other)
    more = [*again, replace(again[0], idempotency_key="batch 2")]
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await store.create_alone(more)
    for each in again:
        with pytest.raises(NotFound):
            await store.get_thread(each.thread_id, OWNER)


async def test_unfinished_runs_newest_first(store: Store) -> None:
    run, job = await started(store)
    queued = (await store.create_run(a_run(run.thread_id))).run
    [alone] = await store.create_alone([a_run(thread_name())])
    here = [(queued.run_id, run.thread_id), (run.run_id, run.thread_id)]
    there = (alone.run.run_id, alone.run.thread_id)
    assert await store.unfinished_runs(OWNER, limit=10) == [there, *here]
    assert await store.unfinished_runs(OWNER, thread_id=run.thread_id, limit=10) == here
    assert await store.unfinished_runs(OWNER, run_ids=[run.run_id], limit=10) == here[1:]
    assert await store.unfinished_runs(OWNER, limit=1) == [there]
    assert await store.unfinished_runs(STRANGER, limit=10) == []
    claim = await take(store, job)
    running = await store.unfinished_runs(OWNER, status=RunStatus.RUNNING, limit=10)
    assert running == here[1:]
    await store.advance(claim, DONE)
    assert (run.run_id, run.thread_id) not in await store.unfinished_runs(OWNER, limit=10)
