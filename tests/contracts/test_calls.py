"""Calls that are on record before they are made, and the rows of usage that grow old."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from graph.calls import Whose
from graph.errors import LostClaim
from graph.runtime.models import Claim, Ending, StepResult
from graph.runtime.ports import Store
from graph.usage import NOTHING, Spent, Totals
from tests.contracts.builders import MORE, OWNER, STRANGER, claimed, run_of, take

MOST = Totals(1, 1500, Decimal("0.5"))
MADE = Totals(1, 110, Decimal("0.1"))


def most() -> Spent:
    return Spent(str(uuid4()), "think", "claude", 500, 1000, 0, Decimal("0.5"), 0)


def made(opened: Spent) -> Spent:
    return replace(opened, input_tokens=100, output_tokens=10, usd=Decimal("0.1"), ms=7)


def whose(claim: Claim) -> Whose:
    return Whose(claim.owner, claim.thread_id, run_of(claim).run_id, claim.seq)


async def opened(store: Store) -> tuple[Claim, Spent]:
    claim, spent = await claimed(store), most()
    await store.open_call(whose(claim), spent)
    return claim, spent


async def spent_by(store: Store, claim: Claim) -> tuple[Totals, Totals]:
    thread = await store.get_thread(claim.thread_id, OWNER)
    run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    return run.spent, thread.spent


async def test_a_step_that_is_saved_puts_in_what_a_call_did_cost(store: Store) -> None:
    claim, spent = await opened(store)
    assert await spent_by(store, claim) == (NOTHING, NOTHING)
    await store.advance(claim, replace(MORE, spent=(made(spent),)))
    assert await spent_by(store, claim) == (MADE, MADE)
    assert await store.charge_open(claim.thread_id, OWNER) == {}


async def test_what_a_dead_process_began_is_counted_once_at_the_most_it_can_cost(
    store: Store,
) -> None:
    claim, spent = await opened(store)
    assert await store.charge_open(claim.thread_id, OWNER) == {run_of(claim).run_id: MOST}
    assert await store.charge_open(claim.thread_id, OWNER) == {}
    assert await spent_by(store, claim) == (MOST, MOST)
    await store.charge(claim, [made(spent)])  # it was only slow, and finds it counted
    assert await spent_by(store, claim) == (MOST, MOST)


async def test_a_lost_claim_counts_what_it_did_cost(store: Store) -> None:
    claim, spent = await opened(store)
    await store.charge(claim, [made(spent)])
    await store.charge(claim, [made(spent)])
    assert await spent_by(store, claim) == (MADE, MADE)
    assert await store.charge_open(claim.thread_id, OWNER) == {}


async def test_a_call_that_was_refused_is_forgotten(store: Store) -> None:
    claim, spent = await opened(store)
    await store.drop_call(spent.call_id)
    await store.drop_call(spent.call_id)
    assert await store.charge_open(claim.thread_id, OWNER) == {}


async def test_a_call_that_was_counted_is_not_forgotten(store: Store) -> None:
    claim, spent = await opened(store)
    await store.charge_open(claim.thread_id, OWNER)
    await store.drop_call(spent.call_id)
    assert await store.prune_usage(older_than=-60, limit=10**6) >= 1


async def test_nobody_pays_for_a_strangers_call(store: Store) -> None:
    claim, _ = await opened(store)
    assert await store.charge_open(claim.thread_id, STRANGER) == {}
    assert await spent_by(store, claim) == (NOTHING, NOTHING)


async def test_the_sweep_counts_what_nobody_came_back_for(store: Store) -> None:
    claim, _ = await opened(store)
    assert await store.charge_abandoned(older_than=3600, limit=1000) == 0
    assert await store.charge_abandoned(older_than=-60, limit=1000) >= 1
    assert await spent_by(store, claim) == (MOST, MOST)
    assert await store.charge_abandoned(older_than=-60, limit=1000) == 0


async def test_old_rows_go_and_totals_stay(store: Store) -> None:
    claim, spent = await opened(store)
    await store.advance(claim, replace(MORE, spent=(made(spent),)))
    later = datetime.now(UTC) + timedelta(days=3)
    assert await store.prune_usage(older_than=4 * 86400, limit=1000, now=later) == 0
    assert await store.prune_usage(older_than=86400, limit=1000, now=later) >= 1
    assert await spent_by(store, claim) == (MADE, MADE)


async def test_failures_are_counted_until_the_step_is_done(store: Store) -> None:
    claim = await claimed(store)
    failed = StepResult(Ending.LATER, wake_in=0, failed_call=True)
    for before in range(3):
        assert run_of(claim).failures == before
        advanced = await store.advance(claim, failed)
        assert advanced.next_job
        claim = await take(store, advanced.next_job)
    advanced = await store.advance(claim, StepResult(Ending.LATER, wake_in=0))
    assert advanced.next_job
    claim = await take(store, advanced.next_job)
    assert run_of(claim).failures == 3  # a wait of another kind changes nothing
    advanced = await store.advance(claim, MORE)
    assert advanced.next_job
    assert run_of(await take(store, advanced.next_job)).failures == 0


async def test_a_claim_that_was_lost_counts_no_failure(store: Store) -> None:
    claim = await claimed(store)
    lost = replace(claim, fence=claim.fence - 1)
    try:
        await store.advance(lost, StepResult(Ending.LATER, wake_in=0, failed_call=True))
    except LostClaim:
        run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
        assert run.failures == 0
        return
    raise AssertionError("a lost claim wrote")
