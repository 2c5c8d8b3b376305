"""Crons: an owner's own, and each due time makes one run, whoever fires it."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import Cron, CronQuery, Firing, RunStatus
from graph.runtime.ports import Store
from tests.contracts.at_once import both
from tests.contracts.builders import OWNER, STRANGER, a_run, new_thread, started
from tests.contracts.lab import Lab

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)
NEXT = DUE + timedelta(hours=1)


def a_cron(**changes: Any) -> Cron:
    now = datetime.now(UTC)
    cron = Cron(str(uuid.uuid4()), OWNER, "chat", "0 * * * *", now, now, next_run_date=DUE)
    return replace(cron, **changes)


def firing(cron: Cron, **changes: Any) -> Firing:
    new = a_run(cron.thread_id or str(uuid.uuid4()), **changes)
    return Firing(cron, new, NEXT)


async def due(store: Store, *, now: datetime = DUE, limit: int = 10) -> list[str]:
    return [cron.cron_id for cron in await store.due_crons(now=now, limit=limit)]


async def test_a_cron_is_kept_as_it_was_made(store: Store) -> None:
    thread_id = await new_thread(store)
    made = await store.create_cron(
        a_cron(
            thread_id=thread_id,
            timezone="Europe/Berlin",
            end_time=NEXT,
            metadata={"team": "ops"},
            payload={"input": {"n": 1}},
            kwargs={"input": {"n": 1}, "config": {"tags": ["t"]}},
            multitask_strategy="reject",
            on_run_completed="keep",
        )
    )
    assert await store.get_cron(made.cron_id, OWNER) == made
    assert (made.timezone, made.end_time, made.next_run_date) == ("Europe/Berlin", NEXT, DUE)
    assert (made.kwargs["config"], made.multitask_strategy) == ({"tags": ["t"]}, "reject")
    assert (made.metadata, made.on_run_completed, made.error) == ({"team": "ops"}, "keep", None)


async def test_a_stranger_sees_and_changes_nothing(store: Store) -> None:
    made = await store.create_cron(a_cron())
    stolen = replace(made, owner=STRANGER, schedule="* * * * *")

    for attempt in (
        store.get_cron(made.cron_id, STRANGER),
        store.delete_cron(made.cron_id, STRANGER),
        store.create_cron(a_cron(owner=STRANGER, thread_id=await new_thread(store))),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await store.replace_cron(stolen, seen=stolen) is None
    assert await store.search_crons(STRANGER, CronQuery()) == ([], 0)
    assert await store.get_cron(made.cron_id, OWNER) == made


async def test_a_change_of_what_was_changed_meanwhile_is_refused(store: Store) -> None:
    seen = await store.create_cron(a_cron())
    changed = await store.replace_cron(replace(seen, metadata={"n": 1}), seen=seen)
    assert changed is not None
    assert await store.replace_cron(replace(seen, metadata={"n": 2}), seen=seen) is None
    assert await store.get_cron(seen.cron_id, OWNER) == changed
    assert changed.metadata == {"n": 1}


async def test_a_change_does_not_undo_a_firing(store: Store) -> None:
    seen = await store.create_cron(a_cron())
    await store.fire_cron(firing(seen))
    changed = await store.replace_cron(replace(seen, metadata={"n": 1}), seen=seen)
    assert changed is not None
    assert changed.next_run_date == NEXT
    moved = await store.replace_cron(replace(changed, next_run_date=None), seen=changed)
    assert moved is not None
    assert moved.next_run_date is None


async def test_crons_are_searched_sorted_and_counted(store: Store) -> None:
    thread_id = await new_thread(store)
    first = await store.create_cron(a_cron(cron_id="a", metadata={"team": "ops", "n": 1}))
    second = await store.create_cron(a_cron(cron_id="b", thread_id=thread_id, next_run_date=NEXT))
    third = await store.create_cron(
        a_cron(cron_id="c", assistant_id="triage", enabled=False, next_run_date=None)
    )

    async def found(**asked: Any) -> list[str]:
        page, total = await store.search_crons(OWNER, CronQuery(**asked))
        assert total == len(page)
        return [cron.cron_id for cron in page]

    assert await found() == ["c", "b", "a"]
    assert await found(assistant_id="triage") == ["c"]
    assert await found(thread_id=thread_id) == ["b"]
    assert await found(enabled=True, sort_by="cron_id", descending=False) == ["a", "b"]
    assert await found(metadata={"team": "ops"}) == ["a"]
    for name in ("next_run_date", "thread_id", "end_time", "updated_at", "assistant_id"):
        both_ways = await found(sort_by=name), await found(sort_by=name, descending=False)
        assert {*both_ways[0]} == {*both_ways[1]} == {"a", "b", "c"}
    assert await found(sort_by="next_run_date") == ["b", "a", "c"]
    assert await found(sort_by="next_run_date", descending=False) == ["a", "b", "c"]
    page, total = await store.search_crons(OWNER, CronQuery(limit=1, offset=1))
    assert (page, total) == ([second], 3)
    assert await store.search_crons(OWNER, CronQuery(offset=9)) == ([], 3)
    assert [first.next_run_date, third.next_run_date] == [DUE, None]


async def test_what_is_due_comes_longest_overdue_first_and_in_bounds(store: Store) -> None:
    for hours, cron_id in ((0, "now"), (-2, "late"), (1, "later")):
        await store.create_cron(a_cron(cron_id=cron_id, next_run_date=DUE + timedelta(hours=hours)))
    await store.create_cron(a_cron(cron_id="never", next_run_date=None))
    assert await due(store) == ["late", "now"]
    assert await due(store, limit=1) == ["late"]


async def test_a_firing_makes_the_thread_and_the_run_and_moves_on(store: Store) -> None:
    cron = await store.create_cron(a_cron())
    asked = firing(cron)
    created = await store.fire_cron(asked)
    assert created is not None
    assert created.job is not None
    assert (created.job.thread_id, created.run.status) == (asked.new.thread_id, RunStatus.PENDING)
    assert (await store.get_thread(asked.new.thread_id, OWNER)).active_run_id == asked.new.run_id
    after = await store.get_cron(cron.cron_id, OWNER)
    assert after == replace(cron, next_run_date=NEXT)
    assert await due(store) == []


async def test_a_due_time_fires_once_even_if_what_it_made_is_gone(store: Store) -> None:
    cron = await store.create_cron(a_cron())
    first, second = firing(cron), firing(cron)
    await store.fire_cron(first)
    await store.delete_thread(first.new.thread_id, OWNER)
    assert await store.fire_cron(second) is None
    assert await store.skip_cron(cron, next_run_date=None, error={"error": "E"}) is False
    with pytest.raises(NotFound):
        await store.get_thread(second.new.thread_id, OWNER)
    assert (await store.get_cron(cron.cron_id, OWNER)).next_run_date == NEXT


async def test_sweeps_at_once_fire_a_due_time_once(lab: Lab) -> None:
    stores = [lab.another() for _ in range(3)]
    for _ in range(10):
        cron = await lab.store.create_cron(a_cron())
        fired = await both(*(store.fire_cron(firing(cron)) for store in stores))
        assert sum(created is not None for created in fired) == 1, fired


async def test_a_firing_that_is_refused_leaves_no_trace(store: Store) -> None:
    busy, _ = await started(store)
    cron = await store.create_cron(a_cron(thread_id=busy.thread_id))
    with pytest.raises(Conflict):
        await store.fire_cron(firing(cron, multitask_strategy="reject"))
    assert await store.get_cron(cron.cron_id, OWNER) == cron
    assert (await store.get_thread(busy.thread_id, OWNER)).queued == ()


async def test_a_busy_thread_takes_the_run_into_its_queue(store: Store) -> None:
    busy, _ = await started(store)
    cron = await store.create_cron(a_cron(thread_id=busy.thread_id))
    asked = firing(cron)
    created = await store.fire_cron(asked)
    assert created is not None
    assert created.job is None
    assert (await store.get_thread(busy.thread_id, OWNER)).queued == (asked.new.run_id,)


async def test_a_skipped_due_time_keeps_its_reason_until_the_next_run(store: Store) -> None:
    cron = await store.create_cron(a_cron())
    error = {"error": "NotFound", "message": "no such graph"}
    assert await store.skip_cron(cron, next_run_date=NEXT, error=error)
    skipped = await store.get_cron(cron.cron_id, OWNER)
    assert skipped == replace(cron, next_run_date=NEXT, error=error)
    await store.fire_cron(firing(skipped))
    assert (await store.get_cron(cron.cron_id, OWNER)).error is None


async def test_a_cron_goes_with_its_thread_also_while_it_fires(lab: Lab) -> None:
    for _ in range(10):
        thread_id = await new_thread(lab.store)
        cron = await lab.store.create_cron(a_cron(thread_id=thread_id))
        asked = firing(cron)
        fired, deleted = await asyncio.gather(
            lab.another().fire_cron(asked),
            lab.another().delete_thread(thread_id, OWNER),
        )
        assert fired is None or fired.run.run_id == asked.new.run_id
        assert deleted is None
        with pytest.raises(NotFound):
            await lab.store.get_cron(cron.cron_id, OWNER)
        assert await due(lab.store) == []


async def test_deleting_twice_says_so(store: Store) -> None:
    cron = await store.create_cron(a_cron())
    await store.delete_cron(cron.cron_id, OWNER)
    with pytest.raises(NotFound):
        await store.delete_cron(cron.cron_id, OWNER)
    assert await due(store) == []
