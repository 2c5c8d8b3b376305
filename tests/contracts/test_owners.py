"""Nobody reads, changes or guesses what is another's."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import Ending, StepResult
from graph.runtime.ports import Store
from tests.contracts.builders import (
    OWNER,
    STRANGER,
    a_run,
    a_thread,
    claimed,
    dump,
    run_of,
    step_to,
)

Call = Callable[[Store, str, str], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "get_thread": lambda store, thread, run: store.get_thread(thread, STRANGER),
    "update_thread": lambda store, thread, run: store.update_thread(
        thread, STRANGER, metadata={"mine": True}, ttl=(0.0, "delete")
    ),
    "delete_thread": lambda store, thread, run: store.delete_thread(thread, STRANGER),
    "create_run": lambda store, thread, run: store.create_run(a_run(thread, owner=STRANGER)),
    "resume": lambda store, thread, run: store.create_run(
        a_run(thread, owner=STRANGER, kwargs={"command": {"resume": 1}})
    ),
    "reject": lambda store, thread, run: store.create_run(
        a_run(thread, owner=STRANGER, multitask_strategy="reject")
    ),
    "repeat": lambda store, thread, run: store.create_run(
        a_run(thread, owner=STRANGER, idempotency_key="k", request_hash="h")
    ),
    "get_run": lambda store, thread, run: store.get_run(run, thread, STRANGER),
    "list_runs": lambda store, thread, run: store.list_runs(
        thread, STRANGER, status=None, limit=10, offset=0
    ),
    "cancel_run": lambda store, thread, run: store.cancel_run(run, thread, STRANGER),
    "delete_run": lambda store, thread, run: store.delete_run(run, thread, STRANGER),
    "copy_thread": lambda store, thread, run: store.copy_thread(
        thread, STRANGER, a_thread().thread_id
    ),
    "hold": lambda store, thread, run: store.hold(thread, STRANGER, lease=60),
}


@pytest.mark.parametrize("ending", [None, Ending.MORE, Ending.INTERRUPTED, Ending.FAILED])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_stranger_finds_nothing_and_changes_nothing(
    store: Store, call: Call, ending: Ending | None
) -> None:
    claim = await claimed(store, idempotency_key="k", request_hash="h")
    if ending:
        await store.advance(claim, step_to("c1", ending))
    before = await dump(store, claim.thread_id)
    with pytest.raises(NotFound):
        await call(store, claim.thread_id, run_of(claim).run_id)
    assert await dump(store, claim.thread_id) == before


async def test_a_stranger_is_told_the_same_of_a_thread_as_of_none(store: Store) -> None:
    claim = await claimed(store)
    said = []
    for thread_id in (claim.thread_id, a_thread().thread_id):
        with pytest.raises(NotFound) as refused:
            await store.get_thread(thread_id, STRANGER)
        said.append(str(refused.value).replace(thread_id, ""))
    assert said[0] == said[1]


@pytest.mark.parametrize("if_exists", ["raise", "do_nothing"])
async def test_a_stranger_cannot_take_over_a_thread_by_making_it_again(
    store: Store, if_exists: str
) -> None:
    claim = await claimed(store)
    before = await dump(store, claim.thread_id)
    stolen = a_thread(thread_id=claim.thread_id, owner=STRANGER)
    with pytest.raises(Conflict):
        await store.create_thread(stolen, if_exists=if_exists)
    assert await dump(store, claim.thread_id) == before


async def test_a_thread_a_tool_made_belongs_to_no_client(store: Store) -> None:
    thread_id = a_thread().thread_id
    await store.put(thread_id, step_to("c1").rows)
    with pytest.raises(NotFound):
        await store.get_thread(thread_id, OWNER)
    assert (await store.get_thread(thread_id, "")).head == "c1"


async def test_strangers_interrupts_stay_theirs(store: Store) -> None:
    claim = await claimed(store)
    question = {"task": [{"value": "secret?", "id": "i"}]}
    await store.advance(claim, StepResult(Ending.INTERRUPTED, interrupts=question))
    assert (await store.get_thread(claim.thread_id, OWNER)).interrupts == question
    with pytest.raises(NotFound) as refused:
        await store.get_thread(claim.thread_id, STRANGER)
    assert "secret" not in str(refused.value)
