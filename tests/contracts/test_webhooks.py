"""What the end of a run owes its webhook: one row, one attempt at a time, gone with the run."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import NotFound
from graph.runtime.models import Delivery, Ending, StepResult, WebhookStatus
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    MORE,
    OWNER,
    STRANGER,
    a_run,
    claimed,
    new_thread,
    run_of,
    started,
    take,
)
from tests.contracts.lab import Lab

URL = "https://example.com/hook"
ASKS: dict[str, Any] = {"kwargs": {"input": {}, "webhook": URL}}


def later(seconds: float = 61) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def owed(store: Store, ending: Ending = Ending.DONE) -> str:
    """A run that ended and owes a webhook."""
    claim = await claimed(store, **ASKS)
    await store.advance(claim, StepResult(ending))
    return run_of(claim).run_id


async def taken(store: Store, run_id: str, **when: Any) -> Delivery:
    delivery = await store.take_webhook(run_id, lease=60, **when)
    assert delivery is not None
    return delivery


@pytest.mark.parametrize("ending", [Ending.DONE, Ending.INTERRUPTED, Ending.FAILED, Ending.TIMEOUT])
async def test_whatever_ends_a_run_owes_its_webhook(store: Store, ending: Ending) -> None:
    run_id = await owed(store, ending)
    delivery = await taken(store, run_id)
    assert (delivery.webhook.url, delivery.webhook.attempts) == (URL, 1)
    assert delivery.run.run_id == run_id
    assert delivery.run.status is ending.run_status
    assert delivery.run.ended_at is not None


async def test_a_cancelled_run_owes_it_whether_it_ran_or_waited(store: Store) -> None:
    running, _ = await started(store, **ASKS)
    waiting = (await store.create_run(a_run(running.thread_id, **ASKS))).run
    for run in (waiting, running):
        await store.cancel_run(run.run_id, run.thread_id, OWNER)
        assert (await taken(store, run.run_id)).run.status == "interrupted"


async def test_a_run_that_goes_on_or_asked_for_none_owes_nothing(store: Store) -> None:
    going = await claimed(store, **ASKS)
    await store.advance(going, MORE)
    plain = await claimed(store)
    await store.advance(plain, DONE)
    for claim in (going, plain):
        assert await store.take_webhook(run_of(claim).run_id, lease=60) is None
        with pytest.raises(NotFound):
            await store.get_webhook(run_of(claim).run_id, claim.thread_id, OWNER)


async def test_a_step_that_lost_its_claim_owes_nothing(store: Store) -> None:
    run, job = await started(store, **ASKS)
    lost = await take(store, job)
    await take(store, job, now=later())
    with pytest.raises(Exception, match=r"fence|taken over"):
        await store.advance(lost, DONE)
    assert await store.take_webhook(run.run_id, lease=60) is None


async def test_of_two_who_take_it_at_once_one_gets_it(lab: Lab) -> None:
    run_id = await owed(lab.store)
    others = [lab.another() for _ in range(4)]
    answers = await asyncio.gather(*(store.take_webhook(run_id, lease=60) for store in others))
    assert [answer is not None for answer in answers].count(True) == 1


async def test_one_that_was_taken_by_somebody_who_died_is_due_again(store: Store) -> None:
    run_id = await owed(store)
    first = await taken(store, run_id)
    assert await store.take_webhook(run_id, lease=60, now=later(59)) is None
    second = await taken(store, run_id, now=later())
    assert second.webhook.attempts == 2
    assert not await store.settle_webhook(first.webhook)  # it was only slow: nothing is noted
    assert await store.settle_webhook(second.webhook)


async def test_how_an_attempt_went_is_kept_and_seen_by_its_owner_alone(store: Store) -> None:
    run_id = await owed(store)
    delivery = await taken(store, run_id)
    thread_id = delivery.run.thread_id
    await store.settle_webhook(delivery.webhook, error="status 500", again_in=300)

    seen = await store.get_webhook(run_id, thread_id, OWNER)
    assert (seen.status, seen.attempts, seen.error) == (WebhookStatus.PENDING, 1, "status 500")
    assert await store.take_webhook(run_id, lease=60, now=later(299)) is None
    with pytest.raises(NotFound):
        await store.get_webhook(run_id, thread_id, STRANGER)

    second = await taken(store, run_id, now=later(301))
    await store.settle_webhook(second.webhook, error="status 404")
    seen = await store.get_webhook(run_id, thread_id, OWNER)
    assert (seen.status, seen.error) == (WebhookStatus.FAILED, "status 404")
    assert await store.take_webhook(run_id, lease=60, now=later(9999)) is None


async def test_one_that_was_delivered_is_over(store: Store) -> None:
    run_id = await owed(store)
    delivery = await taken(store, run_id)
    assert await store.settle_webhook(delivery.webhook)
    assert not await store.settle_webhook(delivery.webhook, error="late")
    seen = await store.get_webhook(run_id, delivery.run.thread_id, OWNER)
    assert (seen.status, seen.error) == (WebhookStatus.DELIVERED, None)
    assert await store.overdue_webhooks(grace=0, limit=10, now=later(9999)) == []


async def test_overdue_are_those_that_have_been_due_for_a_while(store: Store) -> None:
    run_id = await owed(store)
    assert await store.overdue_webhooks(grace=15, limit=10) == []
    assert await store.overdue_webhooks(grace=15, limit=10, now=later(16)) == [(run_id, OWNER)]
    await taken(store, run_id)
    assert await store.overdue_webhooks(grace=15, limit=10, now=later(59)) == []
    assert await store.overdue_webhooks(grace=15, limit=10, now=later(80)) == [(run_id, OWNER)]


async def test_it_is_gone_with_its_run(store: Store) -> None:
    run_id = await owed(store)
    thread_id = (await taken(store, run_id)).run.thread_id
    await store.delete_run(run_id, thread_id, OWNER)
    assert await store.take_webhook(run_id, lease=60, now=later(9999)) is None


async def test_a_run_ends_once_and_later_than_the_one_before(store: Store) -> None:
    thread_id = await new_thread(store)
    ends = []
    for _ in range(2):
        claim = await claimed(store, thread_id)
        await store.advance(claim, DONE)
        ended = await store.get_run(run_of(claim).run_id, thread_id, OWNER)
        assert ended.ended_at is not None
        ends.append(ended.ended_at)
    assert ends[0] < ends[1]


async def test_a_run_whose_place_another_takes_owes_it(store: Store) -> None:
    first, _ = await started(store, **ASKS)
    await store.create_run(a_run(first.thread_id, multitask_strategy="interrupt"))
    assert (await taken(store, first.run_id)).run.status == "interrupted"
