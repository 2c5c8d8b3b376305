"""Threads that are made, changed, swept and deleted by several at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import AgentError, Conflict, LostClaim, NotFound
from graph.runtime.models import (
    Advanced,
    Claim,
    Created,
)
from graph.runtime.ports import Store
from tests.contracts.at_once import ROUNDS, both, kinds
from tests.contracts.builders import (
    DONE,
    OWNER,
    a_run,
    a_thread,
    claimed,
    dump,
    new_thread,
    rows_of,
    run_of,
    started,
    step_to,
    take,
)
from tests.contracts.lab import Lab

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
