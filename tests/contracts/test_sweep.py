"""Housekeeping: what was lost is rung again, what is over goes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from graph.errors import NotFound
from graph.runtime.models import ApiKey, Ending, StepJob, StepResult
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    MORE,
    OWNER,
    a_run,
    claimed,
    ids,
    later,
    new_thread,
    run_of,
    started,
    step_to,
    stepped,
    take,
    thread_name,
)

HOUR = 3600.0


async def rung(
    store: Store, *, grace: float, limit: int = 10, now: datetime | None = None
) -> list[StepJob]:
    swept = await store.overdue(grace=grace, limit=limit, now=now)
    assert all(owner == OWNER for _, owner in swept)
    return [job for job, _ in swept]


async def test_a_thread_nothing_has_rung_for_is_rung_again_once(store: Store) -> None:
    run, _ = await started(store)
    job = StepJob(run.thread_id, 0, redelivered=True)
    assert await rung(store, grace=60) == []
    assert await rung(store, grace=60, now=later(HOUR)) == [job]
    assert await rung(store, grace=60, now=later(HOUR + 30)) == []
    assert await rung(store, grace=60, now=later(HOUR + 90)) == [job]
    await take(store, job)


async def test_a_thread_that_moved_lately_is_left_alone(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, MORE)
    assert await rung(store, grace=60, now=later(50)) == []
    expected = StepJob(claim.thread_id, 1, redelivered=True)
    assert await rung(store, grace=60, now=later(70)) == [expected]


async def test_a_leased_thread_is_left_alone_until_its_lease_is_over(store: Store) -> None:
    _, job = await started(store)
    await take(store, job, lease=HOUR)
    assert await rung(store, grace=60, now=later(HOUR - 10)) == []
    assert await rung(store, grace=60, now=later(HOUR + 70)) == [replace(job, redelivered=True)]


async def test_a_sleeping_thread_is_left_alone_until_it_is_overdue(store: Store) -> None:
    _, job = await started(store, delay=HOUR)
    assert await rung(store, grace=0, now=later(HOUR - 30)) == []
    assert await rung(store, grace=60, now=later(HOUR + 30)) == []
    assert await rung(store, grace=10, now=later(HOUR + 30)) == [replace(job, redelivered=True)]
    await take(store, job, now=later(HOUR + 30))


async def test_a_timer_beyond_what_the_queue_can_delay_is_rung_when_due(store: Store) -> None:
    claim = await claimed(store)
    week = 7 * 24 * HOUR
    await store.advance(claim, StepResult(Ending.LATER, wake_in=week))
    assert await rung(store, grace=0, now=later(week - 10)) == []
    expected = StepJob(claim.thread_id, 0, redelivered=True)
    assert await rung(store, grace=0, now=later(week + 10)) == [expected]


async def test_a_thread_without_an_active_run_is_never_rung(store: Store) -> None:
    await new_thread(store)
    await stepped(store, "c1")
    run, _ = await started(store)
    await store.cancel_run(run.run_id, run.thread_id, OWNER)
    assert await rung(store, grace=0, now=later(HOUR)) == []


async def test_a_sweep_rings_for_so_many_and_the_next_for_the_rest(store: Store) -> None:
    waiting = {(await started(store))[0].thread_id for _ in range(5)}
    now = later(HOUR)
    swept = [await rung(store, grace=60, limit=2, now=now) for _ in range(4)]
    assert [len(jobs) for jobs in swept] == [2, 2, 1, 0]
    assert {job.thread_id for jobs in swept for job in jobs} == waiting


@pytest.mark.parametrize(
    ("ttl", "idle_for", "expires"),
    [
        ((60.0, "delete"), 61 * 60, True),
        ((60.0, "delete"), 59 * 60, False),
        ((0.5, "delete"), 35, True),
        ((0.5, "delete"), 20, False),
        ((60.0, "keep_latest"), 61 * 60, False),
        (None, 1_000_000, False),
    ],
)
async def test_a_thread_expires_when_it_was_idle_for_its_ttl(
    store: Store, ttl: tuple[float, str] | None, idle_for: float, expires: bool
) -> None:
    thread_id = await stepped(store, "c1")
    await store.update_thread(thread_id, OWNER, ttl=ttl)
    assert await store.expire_threads(limit=10) == 0
    assert await store.expire_threads(limit=10, now=later(idle_for)) == int(expires)
    assert await ids(store, thread_id) == ([] if expires else ["c1"])
    if expires:
        with pytest.raises(NotFound):
            await store.get_thread(thread_id, OWNER)


async def test_a_busy_thread_does_not_expire(store: Store) -> None:
    thread_id = await new_thread(store, ttl_minutes=1.0, ttl_strategy="delete")
    await started(store, thread_id)
    assert await store.expire_threads(limit=10, now=later(HOUR)) == 0
    await store.advance(await take(store, StepJob(thread_id, 0)), DONE)
    assert await store.expire_threads(limit=10, now=later(30)) == 0
    assert await store.expire_threads(limit=10, now=later(90)) == 1


async def test_the_threads_that_were_to_go_first_expire_first(store: Store) -> None:
    minutes = [3.0, 1.0, 2.0]
    names = [await new_thread(store, ttl_minutes=ttl, ttl_strategy="delete") for ttl in minutes]
    assert await store.expire_threads(limit=2, now=later(HOUR)) == 2
    assert await store.idle_threads(names, OWNER) == [names[0]]


async def test_no_more_threads_expire_at_once_than_allowed(store: Store) -> None:
    for _ in range(3):
        await new_thread(store, ttl_minutes=1.0, ttl_strategy="delete")
    now = later(HOUR)
    assert [await store.expire_threads(limit=2, now=now) for _ in range(3)] == [2, 1, 0]


async def left(store: Store, *run_ids: str) -> set[str]:
    return {run.run_id for run in await store.runs_by_id(run_ids)}


async def test_runs_that_ended_long_ago_are_pruned_and_checkpoints_stay(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1", Ending.DONE))
    assert await store.prune_runs(older_than=60, limit=10) == 0
    assert await store.prune_runs(older_than=HOUR, limit=10, now=later(HOUR - 60)) == 0
    assert await store.prune_runs(older_than=HOUR, limit=10, now=later(HOUR + 60)) == 1
    assert await left(store, run_of(claim).run_id) == set()
    assert await ids(store, claim.thread_id) == ["c1"]


async def test_pending_running_and_queued_runs_are_never_pruned(store: Store) -> None:
    pending, _ = await started(store)
    running = await claimed(store)
    queued = (await store.create_run(a_run(running.thread_id))).run
    assert await store.prune_runs(older_than=0, limit=10, now=later(HOUR)) == 0
    kept = {pending.run_id, run_of(running).run_id, queued.run_id}
    assert await left(store, *kept) == kept


async def test_no_more_runs_are_pruned_at_once_than_allowed(store: Store) -> None:
    for _ in range(3):
        await stepped(store, "c1")
    now = later(HOUR)
    pruned = [await store.prune_runs(older_than=60, limit=2, now=now) for _ in range(3)]
    assert pruned == [2, 1, 0]


async def test_keys_go_long_after_they_expired_and_others_stay(store: Store) -> None:
    owner, now = thread_name(), datetime.now(UTC)
    for key_id, expires_at in (("old", now), ("new", later(2 * HOUR)), ("ever", None)):
        await store.add_key(ApiKey(f"{key_id} {owner}", owner, "n", b"d", now, expires_at))
    await store.prune_keys(older_than=HOUR, limit=100, now=later(HOUR - 60))
    assert len(await store.list_keys(owner)) == 3
    assert await store.prune_keys(older_than=HOUR, limit=100, now=later(HOUR + 60)) >= 1
    assert [key.key_id.split()[0] for key in await store.list_keys(owner)] == ["ever", "new"]


async def test_a_bucket_that_is_full_again_is_as_good_as_none(store: Store) -> None:
    owner, every = thread_name(), 60.0
    assert await store.take_turn(owner, every=every, burst=1) == 0
    await store.prune_keys(older_than=0, limit=100)
    assert await store.take_turn(owner, every=every, burst=1) > 0
    assert await store.prune_keys(older_than=HOUR, limit=100, now=later(61)) == 1
    assert await store.prune_keys(older_than=HOUR, limit=100, now=later(61)) == 0
    assert await store.take_turn(owner, every=every, burst=1) == 0


async def test_the_backlog_counts_what_waits_for_the_sweep_up_to_a_bound(store: Store) -> None:
    rest: dict[str, Any] = {"grace": 60.0, "older_than": HOUR, "limit": 2}
    before = await store.backlog(**rest)
    assert before.overdue_steps == before.expired_threads == before.ended_runs == 0
    await started(store)
    for _ in range(3):
        thread_id = await stepped(store, "c1")
        await store.update_thread(thread_id, OWNER, ttl=(30.0, "delete"))
    hooked = await claimed(store, kwargs={"webhook": "https://example.com/"})
    await store.advance(hooked, DONE)
    backlog = await store.backlog(**rest, now=later(HOUR + 60))
    assert backlog.overdue_steps == 1
    assert backlog.expired_threads == backlog.ended_runs == 2
    assert backlog.overdue_webhooks == before.overdue_webhooks + 1
    assert backlog.bytes["threads"] >= before.bytes["threads"]
    assert backlog.bytes["runs"] > 0
