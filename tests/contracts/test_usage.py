"""What model calls spent: stored with the step, added up on run and thread, lost attempts too."""

import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from graph.errors import LostClaim
from graph.runtime.models import Ending, StepJob
from graph.runtime.ports import Store
from graph.usage import Spent, Totals
from tests.contracts.builders import DONE, OWNER, a_run, claimed, started, step_to, take


def a_call(**changes: Any) -> Spent:
    call = Spent(str(uuid.uuid4()), "think", "claude", 900, 100, 50, Decimal("0.000140"), 12)
    return replace(call, **changes)


async def spent(store: Store, thread_id: str, run_id: str) -> tuple[Totals, Totals]:
    """What the run and the thread have spent."""
    run = await store.get_run(run_id, thread_id, OWNER)
    return run.spent, (await store.get_thread(thread_id, OWNER)).spent


async def test_nothing_is_spent_at_first(store: Store) -> None:
    run, job = await started(store)
    assert await spent(store, job.thread_id, run.run_id) == (Totals(), Totals())
    assert (await take(store, job)).spent == Totals()


@pytest.mark.parametrize("ending", [e for e in Ending if e is not Ending.MORE])
async def test_every_ending_stores_what_was_spent(store: Store, ending: Ending) -> None:
    run, job = await started(store)
    claim = await take(store, job)
    await store.advance(claim, step_to("c1", ending, spent=(a_call(), a_call())))
    both = Totals(2, 2000, Decimal("0.000280"))
    assert await spent(store, job.thread_id, run.run_id) == (both, both)


async def test_steps_add_up_and_the_next_claim_knows(store: Store) -> None:
    run, job = await started(store)
    claim = await take(store, job)
    await store.advance(claim, step_to("c1", spent=(a_call(),)))
    claim = await take(store, StepJob(job.thread_id, 1))
    once = Totals(1, 1000, Decimal("0.000140"))
    assert claim.run is not None
    assert (claim.run.spent, claim.spent) == (once, once)
    await store.advance(claim, step_to("c2", Ending.DONE, spent=(a_call(),)))
    assert (await spent(store, job.thread_id, run.run_id))[0] == once + once


async def test_a_thread_adds_up_its_runs_and_keeps_what_deleted_ones_spent(store: Store) -> None:
    run, job = await started(store)
    await store.advance(await take(store, job), replace(DONE, spent=(a_call(),)))
    created = await store.create_run(a_run(job.thread_id))
    assert created.job is not None
    claim = await take(store, created.job)
    assert claim.run is not None
    assert (claim.run.spent.calls, claim.spent.calls) == (0, 1)
    await store.advance(claim, replace(DONE, spent=(a_call(),)))
    await store.delete_run(run.run_id, job.thread_id, OWNER)
    _, thread = await spent(store, job.thread_id, created.run.run_id)
    assert thread.calls == 2


async def test_a_model_without_a_price_counts_its_tokens(store: Store) -> None:
    run, job = await started(store)
    claim = await take(store, job)
    await store.advance(claim, step_to("c1", spent=(a_call(usd=None),)))
    assert (await spent(store, job.thread_id, run.run_id))[0] == Totals(1, 1000, Decimal(0))


async def test_a_lost_claim_is_charged_though_it_writes_nothing_else(store: Store) -> None:
    run, job = await started(store)
    stale = await take(store, job, lease=0)
    holder = await take(store, job)
    with pytest.raises(LostClaim):
        await store.advance(stale, step_to("zombie", spent=(a_call(),)))
    assert (await spent(store, job.thread_id, run.run_id))[0] == Totals()
    await store.charge(stale, [a_call()])
    await store.advance(holder, step_to("c1", spent=(a_call(),)))
    twice = Totals(2, 2000, Decimal("0.000280"))
    assert await spent(store, job.thread_id, run.run_id) == (twice, twice)


async def test_the_same_call_is_charged_once(store: Store) -> None:
    claim, call = await claimed(store), a_call()
    assert claim.run is not None
    await store.charge(claim, [call, a_call()])
    await store.charge(claim, [call])
    assert (await spent(store, claim.thread_id, claim.run.run_id))[0].calls == 2


async def test_a_claim_whose_thread_is_gone_is_charged_without_an_error(store: Store) -> None:
    claim = await claimed(store)
    await store.delete_thread(claim.thread_id, OWNER)
    await store.charge(claim, [a_call()])


async def test_charging_leaves_the_claim_of_another_alone(store: Store) -> None:
    _, job = await started(store)
    stale = await take(store, job, lease=0)
    holder = await take(store, job)
    await store.charge(stale, [a_call()])
    assert (await store.advance(holder, step_to("c1"))).next_job == StepJob(job.thread_id, 1)


def a_tool_call() -> Spent:
    return Spent(str(uuid.uuid4()), "use_tool", "tool:calculate", 0, 0, 0, Decimal(0), 3)


async def test_calls_of_tools_are_counted_apart_from_calls_of_models(store: Store) -> None:
    run, job = await started(store)
    claim = await take(store, job)
    await store.advance(claim, step_to("c1", spent=(a_call(), a_tool_call(), a_tool_call())))
    claim = await take(store, StepJob(job.thread_id, 1))
    both = Totals(1, 1000, Decimal("0.000140"), 2)
    assert claim.run is not None
    assert (claim.run.spent, claim.spent) == (both, both)
    await store.advance(claim, step_to("c2", Ending.DONE, spent=(a_tool_call(),)))
    three = Totals(1, 1000, Decimal("0.000140"), 3)
    assert await spent(store, job.thread_id, run.run_id) == (three, three)


async def test_a_tool_that_a_lost_claim_called_is_charged_once(store: Store) -> None:
    claim, call = await claimed(store), a_tool_call()
    assert claim.run is not None
    for _ in range(2):
        await store.charge(claim, [call])
    once = Totals(tool_calls=1)
    assert await spent(store, claim.thread_id, claim.run.run_id) == (once, once)
