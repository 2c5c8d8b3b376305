"""Calls that batches answer: asked once, taken by one, answered once, their thread let go on."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

from graph.calls import BatchCall, Whose
from graph.runtime.models import Claim, Ending, StepResult, Verdict
from graph.runtime.ports import Store
from graph.usage import NOTHING, Spent, Totals
from tests.contracts.builders import DONE, MORE, OWNER, claimed, run_of, take, verdict
from tests.contracts.lab import Lab

ANSWER = {"message": {"content": "yes"}}
SPENT = Spent("", "", "claude", 100, 10, 0, Decimal("0.05"), 0)
TOTALS = Totals(1, 110, Decimal("0.05"))
ASLEEP = StepResult(Ending.LATER, wake_in=900)


def call_of(claim: Claim) -> BatchCall:
    key = uuid4().hex
    whose = Whose(claim.owner, claim.thread_id, run_of(claim).run_id, claim.seq)
    return BatchCall(key, whose, "think", "claude", {"max_tokens": 5, "messages": []})


async def asked(store: Store) -> tuple[Claim, BatchCall]:
    claim = await claimed(store)
    return claim, await store.ask_batch(call_of(claim))


async def taken(store: Store, call: BatchCall) -> bool:
    return call.key in [found.key for found in await store.take_batch(limit=1000)]


def spent_on(call: BatchCall) -> Spent:
    return replace(SPENT, call_id=call.key)


async def test_a_call_is_asked_once_and_found_again(store: Store) -> None:
    _, call = await asked(store)
    again = await store.ask_batch(replace(call, model="another"))
    assert again == await store.find_batch_call(call.key) == call
    assert await store.find_batch_call("unheard of") is None


async def test_a_call_is_taken_by_one_sender(lab: Lab) -> None:
    _, call = await asked(lab.store)
    stores = [lab.another() for _ in range(6)]
    took = await asyncio.gather(*(taken(store, call) for store in stores))
    assert sum(took) == 1


async def test_a_batch_is_open_until_its_calls_are_answered(store: Store) -> None:
    _, call = await asked(store)
    assert await taken(store, call)
    batch_id = uuid4().hex
    await store.batch_sent([call.key], batch_id)
    assert batch_id in await store.open_batches()
    assert await store.known_batches([batch_id, "unheard of"]) == {batch_id}
    await store.answer_batch_call(call.key, ANSWER, spent_on(call))
    assert batch_id not in await store.open_batches()
    assert await store.known_batches([batch_id]) == {batch_id}


async def test_calls_of_a_batch_that_is_gone_are_sent_again(store: Store) -> None:
    _, call = await asked(store)
    assert await taken(store, call)
    await store.batch_sent([call.key], "gone")
    await store.forget_batch("gone")
    assert "gone" not in await store.open_batches()
    assert await taken(store, call)


async def test_what_a_dead_sender_took_is_known_to_be_unsure(store: Store) -> None:
    _, call = await asked(store)
    assert await taken(store, call)
    assert call.key not in await store.unsure_batch_calls(older_than=600)
    assert call.key in await store.unsure_batch_calls(older_than=-60)
    await store.batch_unsent([call.key])
    assert call.key not in await store.unsure_batch_calls(older_than=-60)
    assert await taken(store, call)
    found = await store.find_batch_call(call.key)
    assert found
    assert found.tries == 2


async def test_an_answer_wakes_the_thread_and_is_counted_once(store: Store) -> None:
    claim, call = await asked(store)
    advanced = await store.advance(claim, ASLEEP)
    assert advanced.next_job
    assert await verdict(store, advanced.next_job) is Verdict.ASLEEP
    woken = await store.answer_batch_call(call.key, ANSWER, spent_on(call))
    assert woken == (claim.thread_id, claim.seq, OWNER)
    assert await store.answer_batch_call(call.key, {"error": "late"}, spent_on(call)) is None
    found = await store.find_batch_call(call.key)
    assert found
    assert found.result == ANSWER
    again = await take(store, advanced.next_job)
    assert (run_of(again).spent, again.spent) == (TOTALS, TOTALS)


async def test_an_answer_that_is_an_error_costs_nothing(store: Store) -> None:
    claim, call = await asked(store)
    assert await store.answer_batch_call(call.key, {"error": "expired"}, None)
    assert (await store.get_thread(claim.thread_id, OWNER)).spent == NOTHING


async def test_an_answer_to_a_run_that_ended_wakes_nobody_and_is_paid(store: Store) -> None:
    claim, call = await asked(store)
    await store.advance(claim, DONE)
    assert await store.answer_batch_call(call.key, ANSWER, spent_on(call)) is None
    assert (await store.get_thread(claim.thread_id, OWNER)).spent == TOTALS


async def test_a_step_in_flight_is_not_disturbed(store: Store) -> None:
    claim, call = await asked(store)
    await store.answer_batch_call(call.key, ANSWER, spent_on(call))
    advanced = await store.advance(claim, MORE)
    assert advanced.next_job


async def test_calls_go_with_their_run(store: Store) -> None:
    claim, call = await asked(store)
    await store.advance(claim, DONE)
    await store.delete_thread(claim.thread_id, OWNER)
    assert await store.find_batch_call(call.key) is None
    assert await store.answer_batch_call(call.key, ANSWER, spent_on(call)) is None
