"""A save that takes the claim on the next step with it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import LostClaim
from graph.runtime.models import Claim, Ending, Rows, StepJob, Verdict
from graph.runtime.ports import Store
from graph.usage import Totals
from tests.contracts.builders import (
    OWNER,
    claimed,
    ids,
    refusal,
    rows_of,
    run_of,
    started,
    step_to,
    take,
    verdict,
)
from tests.contracts.lab import Lab
from tests.contracts.test_events import hear, names, said
from tests.contracts.test_usage import a_call

LEASE = 60.0
NOW = datetime.now(UTC)


def later() -> datetime:
    """When a lease taken now is over."""
    return datetime.now(UTC) + timedelta(seconds=LEASE + 1)


async def onward(store: Store, claim: Claim, checkpoint_id: str = "c1", **changes: Any) -> Claim:
    """The claim that is taken with a step's save."""
    result = replace(step_to(checkpoint_id), **changes)
    advanced = await store.advance(claim, result, lease=LEASE)
    assert advanced.next_job == StepJob(claim.thread_id, claim.seq + 1)
    assert advanced.claim is not None
    return advanced.claim


async def test_it_is_the_claim_that_the_next_message_would_have_got(store: Store) -> None:
    kwargs = {"input": {"text": "hi"}, "command": {"goto": "b"}, "config": {"recursion_limit": 7}}
    found = []
    for lease in (None, LEASE):
        _, job = await started(store, kwargs=kwargs, metadata={"who": "me"})
        claim = await take(store, job)
        result = step_to("c1", spent=(a_call(),), stop_at=9, events=said("a", "b"))
        advanced = await store.advance(claim, result, lease=lease)
        mine = advanced.claim or await take(store, StepJob(job.thread_id, 1))
        assert mine.fence > claim.fence
        assert mine.stored is not None
        row = replace(mine.stored.row, body=b"")
        run = replace(
            run_of(mine), run_id="", thread_id="", assistant_id="", created_at=NOW, updated_at=NOW
        )
        stored = replace(mine.stored, row=row, blobs={}, writes=())
        found.append(replace(mine, thread_id="", fence=0, run=run, stored=stored))
    assert found[0] == found[1]
    assert found[1].attempts == 1
    assert found[1].told == 2
    assert "input" not in run_of(found[1]).kwargs


async def test_the_step_is_saved_and_the_thread_leased_on(store: Store) -> None:
    claim = await claimed(store)
    mine = await onward(store, claim)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.seq, thread.head) == (1, "c1")
    assert await ids(store, claim.thread_id) == ["c1"]
    busy = await refusal(store, StepJob(claim.thread_id, 1))
    assert busy.verdict is Verdict.BUSY
    assert LEASE - 5 < busy.leased_for <= LEASE
    assert await verdict(store, StepJob(claim.thread_id, 0)) is Verdict.DUPLICATE
    await store.advance(mine, step_to("c2", Ending.DONE))
    assert await ids(store, claim.thread_id) == ["c2", "c1"]


async def test_a_stranger_with_the_old_fence_writes_nothing(store: Store) -> None:
    claim = await claimed(store)
    mine = await onward(store, claim, events=said("a"))
    for lease in (None, LEASE):
        with pytest.raises(LostClaim):
            await store.advance(claim, step_to("c9"), lease=lease)
    with pytest.raises(LostClaim):
        await store.save(claim, rows_of("c9"), input_applied=False)
    with pytest.raises(LostClaim):
        await store.tell(claim, said("never"))
    assert await ids(store, claim.thread_id) == ["c1"]
    await store.advance(mine, step_to("c2", Ending.DONE, events=said("b")))
    assert await names(store, mine) == ["a", "b"]


async def test_a_claim_that_was_lost_takes_no_other(store: Store) -> None:
    claim = await claimed(store)
    other = await take(store, StepJob(claim.thread_id, 0), now=later())
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("c9"), lease=LEASE)
    assert (await store.get_thread(claim.thread_id, OWNER)).seq == 0
    await store.advance(other, step_to("c1"))
    assert await ids(store, claim.thread_id) == ["c1"]


async def test_whoever_dies_with_it_is_followed_when_its_lease_is_over(store: Store) -> None:
    claim = await claimed(store)
    died = await onward(store, claim, events=said("a"))
    await store.tell(died, said("half"))
    again = await take(store, StepJob(claim.thread_id, 1), now=later())
    assert again.attempts == 2
    with pytest.raises(LostClaim):
        await store.advance(died, step_to("c9"), lease=LEASE)
    await store.advance(again, step_to("c2", Ending.DONE, events=said("whole")))
    assert await names(store, claim) == ["a", "whole"]
    assert await ids(store, claim.thread_id) == ["c2", "c1"]


async def test_a_cancelled_run_has_no_next_step(store: Store) -> None:
    claim = await claimed(store)
    mine = await onward(store, claim)
    await store.cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    with pytest.raises(LostClaim):
        await store.advance(mine, step_to("c2"), lease=LEASE)
    assert await ids(store, claim.thread_id) == ["c1"]


@pytest.mark.parametrize("ending", [e for e in Ending if e is not Ending.MORE])
async def test_no_other_ending_takes_a_claim(store: Store, ending: Ending) -> None:
    claim = await claimed(store)
    wake_in = 30.0 if ending is Ending.LATER else None
    advanced = await store.advance(claim, step_to("c1", ending, wake_in=wake_in), lease=LEASE)
    assert advanced.claim is None
    with pytest.raises(LostClaim):
        await store.advance(claim, step_to("c2"))


async def test_a_step_without_a_checkpoint_takes_none(store: Store) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, replace(step_to("c1"), rows=Rows(), head=None), lease=9)
    assert advanced.claim is None
    await take(store, StepJob(claim.thread_id, 1))


async def test_a_stopped_store_saves_the_step_and_takes_no_claim(lab: Lab) -> None:
    claim = await claimed(lab.store)
    advanced = await lab.another(stopped=True).advance(claim, step_to("c1"), lease=LEASE)
    assert (advanced.next_job, advanced.claim) == (StepJob(claim.thread_id, 1), None)
    await take(lab.store, StepJob(claim.thread_id, 1))


async def test_what_is_spent_adds_up_over_steps_that_claim_each_other(store: Store) -> None:
    claim = await claimed(store)
    for number in (1, 2, 3):
        claim = await onward(store, claim, f"c{number}", spent=(a_call(),))
        assert run_of(claim).spent == claim.spent
        assert (claim.spent.calls, claim.spent.tokens) == (number, 1000 * number)
    await store.charge(claim, (a_call(),))
    claim = await onward(store, claim, "c4")
    assert claim.spent.calls == run_of(claim).spent.calls == 4


async def test_calls_that_failed_are_forgotten_once_a_step_is_done(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1", Ending.LATER, failed_call=True))
    claim = await take(store, StepJob(claim.thread_id, 0))
    assert run_of(claim).failures == 1
    assert run_of(await onward(store, claim, "c2")).failures == 0


async def test_events_of_each_step_keep_their_numbers(store: Store) -> None:
    claim = await claimed(store)
    for number in (1, 2):
        claim = await onward(store, claim, f"c{number}", events=said(f"e{number}", "x"))
        assert claim.told == 2 * number
    heard = await hear(store, run_of(claim).run_id)
    assert [event.seq for event in heard.events] == [1, 2, 3, 4]
    assert claim.spent == Totals()
