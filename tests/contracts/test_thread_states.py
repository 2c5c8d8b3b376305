"""Threads made with a state, copied, read and pruned many at a time."""

from typing import Any

import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import NO_ROWS, Ending, StepResult, Thread, ThreadQuery, ThreadStatus
from graph.runtime.ports import Store
from tests.contracts.at_once import ROUNDS, both, kinds
from tests.contracts.builders import (
    DONE,
    OWNER,
    STRANGER,
    a_thread,
    claimed,
    dump,
    ids,
    new_thread,
    plain,
    rows_of,
    started,
    step_to,
    stepped,
    take,
    thread_name,
)
from tests.contracts.lab import Lab

QUESTION = {"task": [{"value": "really?", "id": "i"}]}


def with_state(*checkpoint_ids: str, **changes: Any) -> Thread:
    return a_thread(
        head=checkpoint_ids[-1], status=ThreadStatus.INTERRUPTED, interrupts=QUESTION, **changes
    )


async def test_a_thread_is_made_with_the_state_it_starts_from(store: Store) -> None:
    thread = with_state("c1", "c2")
    made = await store.create_thread(thread, rows=rows_of("c1", "c2"))
    assert (made.head, made.status, made.interrupts) == ("c2", ThreadStatus.INTERRUPTED, QUESTION)
    assert made == await store.get_thread(thread.thread_id, OWNER)
    assert await ids(store, thread.thread_id) == ["c2", "c1"]
    row, blobs, writes = plain(await store.load(thread.thread_id, "", None))
    assert (row.checkpoint_id, len(blobs), len(writes)) == ("c2", 1, 1)


async def test_a_thread_that_exists_keeps_its_own_state(store: Store) -> None:
    thread_id = await stepped(store, "mine")
    before = await dump(store, thread_id)
    for owner in (OWNER, STRANGER):
        again = with_state("new", thread_id=thread_id, owner=owner)
        with pytest.raises(Conflict):
            await store.create_thread(again, rows=rows_of("new"))
    kept = await store.create_thread(
        with_state("new", thread_id=thread_id), rows=rows_of("new"), if_exists="do_nothing"
    )
    assert kept.head == "mine"
    assert await dump(store, thread_id) == before


async def test_a_thread_made_at_once_by_two_has_the_state_of_one(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        thread_id = thread_name()
        made = await both(
            *(
                store.create_thread(with_state(name, thread_id=thread_id), rows=rows_of(name))
                for store, name in ((lab.store, "one"), (rival, "other"))
            )
        )
        assert kinds(made) == ["Conflict", "Thread"], made
        head = (await lab.store.get_thread(thread_id, OWNER)).head
        assert await ids(lab.store, thread_id) == [head]


async def test_a_copy_has_the_state_the_history_and_the_metadata(store: Store) -> None:
    source = await stepped(store, "c1", "c2")
    await store.update_thread(source, OWNER, metadata={"user": "ann"}, ttl=(60, "keep_latest"))
    before = await dump(store, source)
    target = thread_name()

    copy = await store.copy_thread(source, OWNER, target)

    original = await store.get_thread(source, OWNER)
    assert (copy.thread_id, copy.owner, copy.head) == (target, OWNER, "c2")
    assert (copy.metadata, copy.config) == (original.metadata, original.config)
    assert (copy.ttl_minutes, copy.ttl_strategy) == (60, "keep_latest")
    assert (copy.seq, copy.active_run_id, copy.queued) == (0, None, ())
    assert await store.get_thread(target, OWNER) == copy
    assert await store.list_runs(target, OWNER, status=None, limit=10, offset=0) == []
    copied = [plain(stored) for _, stored in await store.history(target, None)]
    assert copied == [plain(stored) for _, stored in await store.history(source, None)]
    await store.delete_thread(target, OWNER)
    assert await dump(store, source) == before


async def test_a_copy_lives_a_life_of_its_own(store: Store) -> None:
    source = await stepped(store, "c1")
    copy = await store.copy_thread(source, OWNER, thread_name())
    await stepped(store, "c2", thread_id=copy.thread_id)
    await store.delete_thread(source, OWNER)
    assert await ids(store, copy.thread_id) == ["c2", "c1"]
    assert plain(await store.load(copy.thread_id, "", "c1"))[1]


async def test_a_copy_waits_for_the_same_answer(store: Store) -> None:
    claim = await claimed(store)
    asked = step_to("c1", Ending.INTERRUPTED, interrupts=QUESTION)
    await store.advance(claim, asked)
    copy = await store.copy_thread(claim.thread_id, OWNER, thread_name())
    assert (copy.status, copy.interrupts) == (ThreadStatus.INTERRUPTED, QUESTION)


async def test_a_copy_of_a_busy_thread_is_at_rest_where_that_one_was_saved(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1"))
    copy = await store.copy_thread(claim.thread_id, OWNER, thread_name())
    assert (copy.status, copy.head, copy.active_run_id) == (ThreadStatus.IDLE, "c1", None)
    assert (copy.interrupts, copy.error) == ({}, None)
    await started(store, copy.thread_id)


async def test_a_thread_is_not_copied_over_another(lab: Lab) -> None:
    source, target = await stepped(lab.store, "c1"), thread_name()
    await lab.store.copy_thread(source, OWNER, target)
    before = await dump(lab.store, target)
    again = (lab.another().copy_thread(source, OWNER, target) for _ in range(2))
    for answer in await lab.in_order(target, *again):
        assert isinstance(answer, Conflict)
        assert target in str(answer)
    assert await dump(lab.store, target) == before


async def test_there_is_no_copy_of_nothing(store: Store) -> None:
    missing, target = thread_name(), thread_name()
    with pytest.raises(NotFound, match=missing):
        await store.copy_thread(missing, OWNER, target)
    with pytest.raises(NotFound):
        await store.get_thread(target, OWNER)


async def test_heads_are_read_at_once_and_only_the_owners(store: Store) -> None:
    one, two = await stepped(store, "c1", "c2"), await stepped(store, "d1")
    empty = await new_thread(store)
    strangers = with_state("s1", owner=STRANGER)
    await store.create_thread(strangers, rows=rows_of("s1"))

    heads = await store.heads([one, two, empty, strangers.thread_id, thread_name()], OWNER)

    assert {k: s.row.checkpoint_id for k, s in heads.items()} == {one: "c2", two: "d1"}
    assert plain(heads[one]) == plain(await store.load(one, "", None))
    assert await store.heads([], OWNER) == {}


async def test_many_threads_are_deleted_at_once_and_only_the_owners(store: Store) -> None:
    claim = await claimed(store)
    idle = await stepped(store, "c1")
    kept = await stepped(store, "c1")
    strangers = a_thread(owner=STRANGER)
    await store.create_thread(strangers)
    named = [claim.thread_id, idle, idle, strangers.thread_id, thread_name()]

    assert await store.delete_threads(named, OWNER) == 2
    assert await store.delete_threads(named, OWNER) == 0
    assert await store.delete_threads([], OWNER) == 0

    for gone in (claim.thread_id, idle):
        assert await dump(store, gone) == (None, [], [])
    assert await ids(store, kept) == ["c1"]
    await store.get_thread(strangers.thread_id, STRANGER)


async def test_idle_are_the_owners_threads_without_run_and_edit(store: Store) -> None:
    busy = (await claimed(store)).thread_id
    edited, free, given_up = [await stepped(store, "c1") for _ in range(3)]
    await store.hold(edited, OWNER, lease=60)
    await store.release(await store.hold(given_up, OWNER, lease=60))
    strangers = a_thread(owner=STRANGER)
    await store.create_thread(strangers)
    named = [busy, edited, free, given_up, strangers.thread_id, thread_name()]
    assert sorted(await store.idle_threads(named, OWNER)) == sorted([free, given_up])


async def test_threads_sort_by_when_their_state_was_made(store: Store) -> None:
    tag = {"tag": thread_name()}
    first = await new_thread(store, metadata=tag)
    second = await new_thread(store, metadata=tag)
    empty = await new_thread(store, metadata=tag)
    for thread_id, checkpoint_id in ((second, "s1"), (first, "f1")):
        await stepped(store, checkpoint_id, thread_id=thread_id)
    await store.update_thread(second, OWNER, metadata={"later": True})

    async def found(**query: Any) -> list[str]:
        query = {"metadata": tag, "sort_by": "state_updated_at", **query}
        page, _ = await store.search_threads(OWNER, ThreadQuery(**query))
        return [thread.thread_id for thread in page]

    assert await found() == [first, second, empty]
    assert await found(descending=False) == [empty, second, first]
    assert await found(sort_by="updated_at") == [second, first, empty]


async def test_a_plain_thread_has_no_state(store: Store) -> None:
    thread = await store.create_thread(a_thread(), rows=NO_ROWS)
    assert (thread.head, await store.history(thread.thread_id, None)) == (None, [])
    claim = await take(store, (await started(store, thread.thread_id))[1])
    await store.advance(claim, StepResult(DONE.ending))
