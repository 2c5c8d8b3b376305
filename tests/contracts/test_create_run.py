"""Accepting a run."""

from dataclasses import replace
from typing import Any

import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import Ending, Rows, RunStatus, StepJob, StepResult, ThreadStatus
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    OWNER,
    STRANGER,
    a_run,
    a_thread,
    checkpoint,
    claimed,
    dump,
    new_thread,
    run_of,
    started,
    stepped,
)

RESUME: dict[str, Any] = {"command": {"resume": "yes"}}


async def test_a_run_on_an_idle_thread_is_active_at_once(store: Store) -> None:
    thread_id = await new_thread(store)
    new = a_run(thread_id, metadata={"k": ["v"]}, kwargs={"input": None, "config": {"a": {}}})
    created = await store.create_run(new)
    assert created.job == StepJob(thread_id, 0)
    assert not created.repeated
    run = created.run
    assert (run.run_id, run.thread_id, run.owner) == (new.run_id, thread_id, OWNER)
    assert (run.assistant_id, run.graph_id) == (new.assistant_id, "chat")
    assert (run.metadata, run.kwargs) == (new.metadata, new.kwargs)
    assert (run.status, run.multitask_strategy) == (RunStatus.PENDING, "enqueue")
    assert (run.input_applied, run.stop_at, run.head, run.error) == (False, None, None, None)
    assert await store.get_run(run.run_id, thread_id, OWNER) == run
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.status, thread.active_run_id) == (ThreadStatus.BUSY, run.run_id)
    assert thread.queued == ()


async def test_the_next_run_goes_on_where_the_seq_stands(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    _, job = await started(store, thread_id)
    assert job == StepJob(thread_id, 2)


async def test_runs_on_a_busy_thread_wait_their_turn_in_order(store: Store) -> None:
    run, _ = await started(store)
    second = await store.create_run(a_run(run.thread_id))
    third = await store.create_run(a_run(run.thread_id))
    assert (second.job, third.job) == (None, None)
    assert second.run.status is RunStatus.PENDING
    thread = await store.get_thread(run.thread_id, OWNER)
    assert thread.active_run_id == run.run_id
    assert thread.queued == (second.run.run_id, third.run.run_id)


async def test_reject_refuses_a_busy_thread_and_changes_nothing(store: Store) -> None:
    run, _ = await started(store)
    before = await dump(store, run.thread_id)
    with pytest.raises(Conflict, match=f"{run.thread_id}.*{run.run_id}"):
        await store.create_run(a_run(run.thread_id, multitask_strategy="reject"))
    assert await dump(store, run.thread_id) == before


async def test_reject_takes_an_idle_thread(store: Store) -> None:
    thread_id = await new_thread(store)
    created = await store.create_run(a_run(thread_id, multitask_strategy="reject"))
    assert created.job is not None
    assert created.run.multitask_strategy == "reject"


@pytest.mark.parametrize("strategy", ["interrupt", "rollback", "enqueue", "reject"])
async def test_on_an_idle_thread_no_strategy_is_in_the_way(store: Store, strategy: str) -> None:
    _, job = await started(store, multitask_strategy=strategy)
    assert job.seq == 0


async def test_a_run_needs_its_thread(store: Store) -> None:
    missing = a_thread().thread_id
    with pytest.raises(NotFound, match=missing):
        await store.create_run(a_run(missing))


async def test_anothers_thread_takes_no_run(store: Store) -> None:
    thread_id = await new_thread(store)
    before = await dump(store, thread_id)
    with pytest.raises(NotFound, match=thread_id):
        await store.create_run(a_run(thread_id, owner=STRANGER))
    assert await dump(store, thread_id) == before


@pytest.mark.parametrize("ending", [Ending.DONE, Ending.FAILED, Ending.TIMEOUT])
async def test_a_thread_that_waits_for_nothing_cannot_be_resumed(
    store: Store, ending: Ending
) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(ending))
    before = await dump(store, claim.thread_id)
    with pytest.raises(Conflict, match=claim.thread_id):
        await store.create_run(a_run(claim.thread_id, kwargs=RESUME))
    assert await dump(store, claim.thread_id) == before


async def test_a_new_thread_cannot_be_resumed(store: Store) -> None:
    thread_id = await new_thread(store)
    with pytest.raises(Conflict, match=thread_id):
        await store.create_run(a_run(thread_id, kwargs=RESUME))


async def test_a_resume_with_a_null_answer_is_a_resume(store: Store) -> None:
    thread_id = await new_thread(store)
    with pytest.raises(Conflict, match=thread_id):
        await store.create_run(a_run(thread_id, kwargs={"command": {"resume": None}}))


@pytest.mark.parametrize("command", [None, {}, {"goto": "b"}, {"update": {"resume": 1}}])
async def test_other_commands_need_no_interrupt(store: Store, command: Any) -> None:
    _, job = await started(store, kwargs={"command": command})
    assert job.seq == 0


async def test_an_interrupted_thread_can_be_resumed(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.INTERRUPTED))
    again = await claimed(store, claim.thread_id, kwargs=RESUME)
    assert run_of(again).kwargs == RESUME


async def test_a_run_may_start_from_a_checkpoint_of_the_thread(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await started(store, thread_id, kwargs={"checkpoint_id": "c1"})


async def test_an_unknown_checkpoint_is_not_found_and_changes_nothing(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    await stepped(store, "elsewhere")
    before = await dump(store, thread_id)
    for checkpoint_id in ("c9", "elsewhere"):
        with pytest.raises(NotFound, match=checkpoint_id):
            await store.create_run(a_run(thread_id, kwargs={"checkpoint_id": checkpoint_id}))
    assert await dump(store, thread_id) == before


async def test_a_subgraphs_checkpoint_is_no_place_to_start_a_run(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    await store.put(thread_id, Rows(checkpoints=(checkpoint("n1", ns="sub"),)))
    with pytest.raises(NotFound, match="n1"):
        await store.create_run(a_run(thread_id, kwargs={"checkpoint_id": "n1"}))


async def test_a_repeated_request_gives_the_earlier_run_and_changes_nothing(store: Store) -> None:
    thread_id = await new_thread(store)
    new = a_run(thread_id, idempotency_key="k", request_hash="h")
    first = await store.create_run(new)
    before = await dump(store, thread_id)
    again = await store.create_run(replace(new, run_id=a_run(thread_id).run_id))
    assert (again.run, again.job, again.repeated) == (first.run, None, True)
    assert await dump(store, thread_id) == before


async def test_a_request_is_repeated_even_when_its_run_has_ended(store: Store) -> None:
    thread_id = await new_thread(store)
    new = {"idempotency_key": "k", "request_hash": "h", "multitask_strategy": "reject"}
    claim = await claimed(store, thread_id, **new)
    again = await store.create_run(a_run(thread_id, **new))
    assert (again.run.run_id, again.run.status) == (run_of(claim).run_id, RunStatus.RUNNING)
    await store.advance(claim, DONE)
    again = await store.create_run(a_run(thread_id, **new))
    assert (again.run.run_id, again.run.status) == (run_of(claim).run_id, RunStatus.SUCCESS)
    assert (again.repeated, again.job) == (True, None)


async def test_a_resume_can_be_repeated_when_the_thread_has_gone_on(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.INTERRUPTED))
    new = {"idempotency_key": "k", "request_hash": "h", "kwargs": RESUME}
    resumed = await claimed(store, claim.thread_id, **new)
    await store.advance(resumed, DONE)
    again = await store.create_run(a_run(claim.thread_id, **new))
    assert (again.run.run_id, again.repeated) == (run_of(resumed).run_id, True)


async def test_a_key_used_for_another_request_is_a_conflict(store: Store) -> None:
    thread_id = await new_thread(store)
    await store.create_run(a_run(thread_id, idempotency_key="k", request_hash="h"))
    before = await dump(store, thread_id)
    with pytest.raises(Conflict, match="k"):
        await store.create_run(a_run(thread_id, idempotency_key="k", request_hash="other"))
    assert await dump(store, thread_id) == before


async def test_owners_do_not_share_keys(store: Store) -> None:
    mine = await new_thread(store)
    theirs = await new_thread(store, owner=STRANGER)
    key = {"idempotency_key": "k", "request_hash": "h"}
    first = await store.create_run(a_run(mine, **key))
    second = await store.create_run(a_run(theirs, owner=STRANGER, **key))
    assert first.run.run_id != second.run.run_id
    assert not second.repeated


async def test_runs_without_a_key_are_never_the_same(store: Store) -> None:
    thread_id = await new_thread(store)
    first = await store.create_run(a_run(thread_id, request_hash="h"))
    second = await store.create_run(a_run(thread_id, request_hash="h"))
    assert not second.repeated
    assert first.run.run_id != second.run.run_id


async def test_a_refused_request_does_not_use_up_its_key(store: Store) -> None:
    claim = await claimed(store)
    new = a_run(claim.thread_id, idempotency_key="k", request_hash="h", multitask_strategy="reject")
    with pytest.raises(Conflict, match="busy"):
        await store.create_run(new)
    await store.advance(claim, DONE)
    created = await store.create_run(new)
    assert (created.repeated, created.run.run_id) == (False, new.run_id)
