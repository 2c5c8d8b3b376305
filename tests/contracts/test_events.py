"""What runs tell: exactly as often as their steps are saved, numbered, and gone with the run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from graph.errors import LostClaim
from graph.runtime.heard import Heard
from graph.runtime.models import SKIPPED, Claim, Ending, Event, RunStatus, StepJob, StepResult
from graph.runtime.ports import Store
from tests.contracts.builders import (
    OWNER,
    a_run,
    claimed,
    new_thread,
    rows_of,
    run_of,
    started,
    take,
)


def later() -> datetime:
    """When a lease taken now is over."""
    return datetime.now(UTC) + timedelta(seconds=61)


def said(*names: str) -> tuple[Event, ...]:
    return tuple(Event(name, b'"%b"' % name.encode()) for name in names)


def telling(*names: str, ending: Ending = Ending.MORE) -> StepResult:
    return StepResult(ending, events=said(*names))


async def hear(store: Store, run_id: str, after: int = 0, limit: int = 100) -> Heard:
    (heard,) = await store.heard({run_id: after}, limit=limit)
    return heard


async def names(store: Store, claim: Claim, after: int = 0) -> list[str]:
    return [event.name for event in (await hear(store, run_of(claim).run_id, after)).events]


async def next_claim(store: Store, claim: Claim, steps: int = 1) -> Claim:
    return await take(store, StepJob(claim.thread_id, claim.seq + steps))


async def test_events_of_steps_are_heard_in_order_with_rising_numbers(store: Store) -> None:
    claim = await claimed(store)
    run_id = run_of(claim).run_id
    assert await hear(store, run_id) == Heard(run_id, RunStatus.RUNNING, None, None, 0, ())

    await store.advance(claim, telling("a", "b"))
    first = await hear(store, run_id)
    claim = await next_claim(store, claim)
    await store.advance(claim, replace(telling("c", ending=Ending.DONE), rows=rows_of("c1")))
    whole = await hear(store, run_id)

    assert first.events == tuple(replace(e, seq=n) for n, e in enumerate(said("a", "b"), 1))
    assert not first.over
    assert [event.name for event in whole.events] == ["a", "b", "c"]
    assert [event.seq for event in whole.events] == [1, 2, 3]
    assert (whole.status, whole.last, whole.over) == (RunStatus.SUCCESS, 3, True)
    assert await names(store, claim, after=2) == ["c"]
    assert (await hear(store, run_id, after=3)).over


async def test_a_step_that_tells_nothing_writes_none(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.MORE))
    assert await names(store, claim) == []
    await store.advance(await next_claim(store, claim), telling())
    assert (await hear(store, run_of(claim).run_id)).last == 0


async def test_the_end_of_a_run_is_heard_with_what_ended_it(store: Store) -> None:
    claim = await claimed(store)
    error = {"error": "ValueError", "message": "as told"}
    await store.advance(claim, replace(telling("a", ending=Ending.FAILED), error=error))
    heard = await hear(store, run_of(claim).run_id)
    assert (heard.status, heard.error, heard.over) == (RunStatus.ERROR, error, True)


async def test_many_events_are_heard_a_page_at_a_time(store: Store) -> None:
    claim = await claimed(store)
    run_id = run_of(claim).run_id
    await store.advance(claim, telling(*(f"e{n}" for n in range(5)), ending=Ending.DONE))

    pages = [await hear(store, run_id, after, limit=2) for after in (0, 2, 4)]

    assert [[e.seq for e in page.events] for page in pages] == [[1, 2], [3, 4], [5]]
    assert [page.over for page in pages] == [False, False, True]


async def test_runs_are_heard_together_each_from_its_own_number(store: Store) -> None:
    claims = [await claimed(store), await claimed(store)]
    for claim in claims:
        await store.advance(claim, telling("a", "b"))
    one, two = (run_of(claim).run_id for claim in claims)

    found = await store.heard({one: 0, "nobody": 0, two: 1})

    assert {h.run_id: [e.seq for e in h.events] for h in found} == {one: [1, 2], two: [2]}
    assert await store.heard({}) == []


async def test_numbers_rise_over_all_runs_of_a_thread(store: Store) -> None:
    thread_id = await new_thread(store)
    first = await claimed(store, thread_id)
    await store.advance(first, telling("a", ending=Ending.DONE))
    second = await claimed(store, thread_id)
    await store.advance(second, telling("b", ending=Ending.DONE))
    seqs = [e.seq for c in (first, second) for e in (await hear(store, run_of(c).run_id)).events]
    assert seqs == [1, 2]


async def test_what_is_told_while_the_step_runs_is_heard_before_it_ends(store: Store) -> None:
    claim = await claimed(store)
    await store.tell(claim, said("token"))
    assert await names(store, claim) == ["token"]
    await store.tell(claim, said("token 2"))
    await store.advance(claim, telling("values"))
    assert await names(store, claim) == ["token", "token 2", "values"]


async def test_a_lost_claim_tells_nothing(store: Store) -> None:
    _, job = await started(store)
    lost = await take(store, job)
    claim = await take(store, job, now=later())

    with pytest.raises(LostClaim):
        await store.tell(lost, said("zombie"))
    with pytest.raises(LostClaim):
        await store.advance(lost, telling("zombie"))
    assert await names(store, claim) == []
    await store.advance(claim, telling("a"))
    with pytest.raises(LostClaim):
        await store.tell(claim, said("too late"))
    assert await names(store, claim) == ["a"]


@pytest.mark.parametrize("how", ["tells", "advances"])
async def test_a_new_attempt_replaces_what_the_dead_one_told(store: Store, how: str) -> None:
    claim = await claimed(store)
    await store.advance(claim, telling("earlier step"))
    job = StepJob(claim.thread_id, 1)
    dead = await take(store, job)
    await store.tell(dead, said("lost 1", "lost 2"))
    again = await take(store, job, now=later())
    assert await names(store, again) == ["earlier step", "lost 1", "lost 2"]

    if how == "tells":
        await store.tell(again, said("again 1"))
        await store.tell(again, said("again 2"))
        await store.advance(again, telling("values"))
    else:
        await store.advance(again, telling("again 1", "again 2", "values"))

    assert await names(store, again) == ["earlier step", "again 1", "again 2", "values"]
    # A reader that has heard the dead attempt goes on with the new one.
    assert await names(store, again, after=3) == ["again 1", "again 2", "values"]


async def test_attempts_that_came_nowhere_are_replaced_however_many(store: Store) -> None:
    _, job = await started(store)
    for _ in range(2):
        claim = await take(store, job)
        await store.tell(claim, said("nowhere"))
        await store.advance(claim, StepResult(Ending.AGAIN))
    claim = await take(store, job)
    await store.advance(claim, telling("there"))
    assert await names(store, claim) == ["there"]


@pytest.mark.parametrize("ending", [Ending.PARTIAL, Ending.LATER])
async def test_what_a_part_of_a_step_told_stays(store: Store, ending: Ending) -> None:
    _, job = await started(store)
    part = await take(store, job)
    await store.tell(part, said("progress"))
    await store.advance(part, telling("more progress", ending=ending))
    dead = await take(store, job)
    await store.tell(dead, said("lost"))
    claim = await take(store, job, now=later())
    await store.advance(claim, telling("rest"))
    assert await names(store, claim) == ["progress", "more progress", "rest"]


async def test_a_run_keeps_what_it_told_when_the_next_one_is_tried_again(store: Store) -> None:
    thread_id = await new_thread(store)
    first = await claimed(store, thread_id)
    await store.tell(first, said("token"))
    second = (await store.create_run(a_run(thread_id))).run
    advanced = await store.cancel_run(run_of(first).run_id, thread_id, OWNER)
    assert advanced.next_job is not None
    await take(store, advanced.next_job)
    again = await take(store, advanced.next_job, now=later())
    await store.tell(again, said("second"))

    assert await names(store, first) == ["token"]
    assert (await hear(store, run_of(first).run_id)).over
    assert [e.name for e in (await hear(store, second.run_id)).events] == ["second"]


async def test_events_go_with_their_run(store: Store) -> None:
    claim = await claimed(store)
    run_id = run_of(claim).run_id
    await store.advance(claim, telling("a", ending=Ending.DONE))
    await store.delete_run(run_id, claim.thread_id, OWNER)
    assert await store.heard({run_id: 0}) == []

    claim = await claimed(store)
    await store.advance(claim, telling("a", ending=Ending.DONE))
    await store.delete_thread(claim.thread_id, OWNER)
    assert await store.heard({run_of(claim).run_id: 0}) == []


async def test_any_bytes_and_names_come_back_as_they_were(store: Store) -> None:
    claim = await claimed(store)
    event = Event("updates|child:1|é", '{"ü": "\\u0000 \U0001f600"}'.encode())
    await store.tell(claim, [event])
    assert (await hear(store, run_of(claim).run_id)).events == (replace(event, seq=1),)


async def test_a_claim_tells_where_numbers_stand(store: Store) -> None:
    claim = await claimed(store)
    assert claim.told == 0
    await store.tell(claim, said("token"))
    await store.advance(claim, telling("a", "b"))
    assert (await next_claim(store, claim)).told == 3


async def test_numbers_that_a_dead_attempt_may_have_shown_are_nobodys(store: Store) -> None:
    _, job = await started(store)
    dead = await take(store, job)
    await store.tell(dead, said("written"))
    again = await take(store, job, now=later())
    assert again.told == 1 + SKIPPED
    await store.advance(again, telling("a"))
    assert [e.seq for e in (await hear(store, run_of(again).run_id)).events] == [2 + SKIPPED]


async def test_numbers_that_a_cancelled_step_may_have_shown_are_nobodys(store: Store) -> None:
    thread_id = await new_thread(store)
    first = await claimed(store, thread_id)
    await store.tell(first, said("written"))
    await store.cancel_run(run_of(first).run_id, thread_id, OWNER)
    second = await claimed(store, thread_id)
    assert second.told == 1 + SKIPPED
    displaced = a_run(thread_id, multitask_strategy="interrupt")
    created = await store.create_run(displaced)
    assert created.job is not None
    assert (await take(store, created.job)).told == 1 + 2 * SKIPPED
