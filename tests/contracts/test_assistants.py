"""Assistants that clients make, and their versions."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from graph.errors import NotFound
from graph.runtime.models import Assistant, AssistantChange, AssistantQuery, Created
from graph.runtime.ports import Store
from tests.contracts.at_once import ROUNDS, both
from tests.contracts.builders import (
    OWNER,
    STRANGER,
    a_run,
    a_thread,
    dump,
    new_thread,
    started,
)
from tests.contracts.lab import Lab

EVER = datetime.fromtimestamp(0, UTC)


def an_assistant(**changes: Any) -> Assistant:
    now = datetime.now(UTC)
    made = Assistant(str(uuid.uuid4()), OWNER, "chat", "Helper", created_at=now, updated_at=now)
    return replace(made, **changes)


async def made(store: Store, **changes: Any) -> Assistant:
    found = await store.create_assistant(an_assistant(**changes))
    assert found is not None
    return found


async def versions(store: Store, assistant: Assistant, **metadata: Any) -> list[Assistant]:
    return await store.list_versions(
        assistant.assistant_id, assistant.owner, metadata=metadata, limit=1000, offset=0
    )


async def names(store: Store, *others: Assistant, owner: str = OWNER, **query: Any) -> list[str]:
    found, total = await store.search_assistants(owner, AssistantQuery(**query), others)
    assert total >= len(found)
    return [assistant.name for assistant in found]


async def test_an_assistant_is_read_back_as_it_was_made(store: Store) -> None:
    new = an_assistant(
        config={"tags": ["x"], "configurable": {"a": 1}},
        context={"a": 1},
        metadata={"deep": {"k": [1, None]}},
        description="helps",
    )
    created = await store.create_assistant(new)
    assert created is not None
    assert replace(created, created_at=new.created_at, updated_at=new.updated_at) == new
    assert created.created_at == created.updated_at
    assert await store.get_assistant(new.assistant_id, OWNER) == created
    assert await versions(store, created) == [created]


async def test_an_assistant_is_not_made_twice(store: Store) -> None:
    first = await made(store, name="first")
    assert await store.create_assistant(replace(first, name="second")) is None
    assert await store.get_assistant(first.assistant_id, OWNER) == first
    assert await versions(store, first) == [first]


async def test_an_update_is_a_version_with_all_that_it_leaves_unsaid(store: Store) -> None:
    first = await made(store, config={"tags": ["x"]}, metadata={"a": 1, "b": 1}, description="d")
    change = AssistantChange(graph_id="triage", metadata={"b": 2}, name="New", context={"k": 1})
    second = await store.update_assistant(first.assistant_id, OWNER, change)
    assert second is not None
    assert (second.version, second.graph_id, second.name) == (2, "triage", "New")
    assert second.metadata == {"a": 1, "b": 2}
    assert (second.config, second.context) == ({"tags": ["x"]}, {"k": 1})
    assert (second.description, second.created_at) == ("d", first.created_at)
    assert second.updated_at > first.updated_at
    assert await store.get_assistant(first.assistant_id, OWNER) == second
    found = await versions(store, first)
    assert [(v.version, v.graph_id, v.name) for v in found] == [
        (2, "triage", "New"),
        (1, "chat", "Helper"),
    ]
    assert [v.version for v in await versions(store, first, b=1)] == [1]
    assert found[0].created_at == second.updated_at


async def test_a_version_is_put_in_force_again_and_numbers_rise_all_the_same(store: Store) -> None:
    first = await made(store, context={"k": 1}, metadata={"a": 1})
    where = (first.assistant_id, OWNER)
    await store.update_assistant(
        *where, AssistantChange(name="New", graph_id="triage", context={"k": 2}, metadata={"b": 2})
    )
    again = await store.set_latest(*where, 1)
    assert again is not None
    assert replace(again, updated_at=first.updated_at) == first
    assert await store.get_assistant(*where) == again
    third = await store.update_assistant(*where, AssistantChange(description="d"))
    assert third is not None
    assert (third.version, third.name, third.graph_id, third.metadata) == (
        *(3, "Helper", "chat"),
        {"a": 1},
    )
    assert [v.version for v in await versions(store, first)] == [3, 2, 1]


async def test_versions_are_paged(store: Store) -> None:
    first = await made(store)
    for n in range(4):
        change = AssistantChange(description=str(n))
        await store.update_assistant(first.assistant_id, OWNER, change)
    page = await store.list_versions(first.assistant_id, OWNER, metadata={}, limit=2, offset=1)
    assert [v.version for v in page] == [4, 3]


@pytest.mark.parametrize("version", [2, 2**31 - 1])
async def test_a_version_that_there_is_not_changes_nothing(store: Store, version: int) -> None:
    first = await made(store)
    assert await store.set_latest(first.assistant_id, OWNER, version) is None
    assert await store.get_assistant(first.assistant_id, OWNER) == first


async def test_what_there_is_not(store: Store) -> None:
    missing = an_assistant()
    where = (missing.assistant_id, OWNER)
    assert await store.get_assistant(*where) is None
    assert await store.update_assistant(*where, AssistantChange(name="x")) is None
    assert await store.set_latest(*where, 1) is None
    assert await store.delete_assistant(*where, with_threads=True) is False
    assert await versions(store, missing) == []


async def test_a_stranger_finds_nothing_and_changes_nothing(store: Store) -> None:
    unique = {"a": uuid.uuid4().hex}
    mine = await made(store, metadata=unique)
    thread_id = await new_thread(store, metadata={"assistant_id": mine.assistant_id})
    where = (mine.assistant_id, STRANGER)
    assert await store.get_assistant(*where) is None
    assert await store.update_assistant(*where, AssistantChange(name="stolen")) is None
    assert await store.set_latest(*where, 1) is None
    assert await store.delete_assistant(*where, with_threads=True) is False
    assert await store.list_versions(*where, metadata={}, limit=10, offset=0) == []
    assert await names(store, owner=STRANGER, metadata=unique) == []
    assert await store.get_assistant(mine.assistant_id, OWNER) == mine
    assert (await store.get_thread(thread_id, OWNER)).thread_id == thread_id


async def test_two_owners_may_have_the_same_id_and_neither_learns_of_the_other(
    store: Store,
) -> None:
    mine = await made(store, name="mine")
    theirs = await made(store, assistant_id=mine.assistant_id, owner=STRANGER, name="theirs")
    await store.update_assistant(mine.assistant_id, OWNER, AssistantChange(description="d"))
    assert await store.get_assistant(theirs.assistant_id, STRANGER) == theirs
    assert await versions(store, theirs) == [theirs]
    assert await store.delete_assistant(mine.assistant_id, OWNER, with_threads=False)
    assert await store.get_assistant(theirs.assistant_id, STRANGER) == theirs
    assert await store.delete_assistant(theirs.assistant_id, STRANGER, with_threads=False)


async def test_a_search_finds_own_and_others_in_order(store: Store) -> None:
    unique = uuid.uuid4().hex
    owner = f"owner {unique}"
    project = [
        an_assistant(owner="", name=name, graph_id=name, created_at=EVER, updated_at=EVER)
        for name in ("zebra", "chat")
    ]
    await made(store, owner=owner, name="Bob", metadata={"user": "bob"})
    await made(store, owner=owner, name="alice", metadata={"user": "alice", "x": [1, 2]})

    async def found(**query: Any) -> list[str]:
        return await names(store, *project, owner=owner, **query)

    assert await found() == ["alice", "Bob", "zebra", "chat"]
    assert await found(descending=False) == ["zebra", "chat", "Bob", "alice"]
    assert await found(sort_by="name", descending=False) == ["alice", "Bob", "chat", "zebra"]
    assert await found(sort_by="name") == ["zebra", "chat", "Bob", "alice"]
    assert await found(metadata={"x": [2]}) == ["alice"]
    assert await found(graph_id="chat", sort_by="updated_at") == ["alice", "Bob", "chat"]
    assert await found(name="B") == ["Bob", "zebra"]
    assert await found(name="%") == []
    assert await found(limit=2, offset=1) == ["Bob", "zebra"]
    _, total = await store.search_assistants(owner, AssistantQuery(offset=9), project)
    assert total == 4


async def test_deleting_an_assistant_leaves_threads_unless_told_otherwise(store: Store) -> None:
    for with_threads in (False, True):
        mine = await made(store)
        belongs = {"assistant_id": mine.assistant_id}
        its = await new_thread(store, metadata=belongs)
        run, _ = await started(store, assistant_id=mine.assistant_id)
        another = await new_thread(store, metadata={"assistant_id": str(uuid.uuid4())})
        strangers = a_thread(owner=STRANGER, metadata=belongs)
        await store.create_thread(strangers)

        assert await store.delete_assistant(mine.assistant_id, OWNER, with_threads=with_threads)

        assert await store.get_assistant(mine.assistant_id, OWNER) is None
        assert await versions(store, mine) == []
        for thread_id in (its, run.thread_id):
            gone = await dump(store, thread_id) == (None, [], [])
            assert gone is with_threads
        assert (await store.get_thread(another, OWNER)).thread_id == another
        await store.get_thread(strangers.thread_id, STRANGER)


async def test_made_twice_at_once_it_is_made_once(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        new = an_assistant()
        results = await both(lab.store.create_assistant(new), rival.create_assistant(new))
        assert sorted(type(r).__name__ for r in results) == ["Assistant", "NoneType"]
        assert len(await versions(lab.store, new)) == 1


async def test_updates_at_once_make_versions_without_gaps_and_lose_nothing(lab: Lab) -> None:
    stores = [lab.store, *(lab.another() for _ in range(3))]
    first = await made(lab.store)
    for round_ in range(ROUNDS // 10):
        results = await both(
            *(
                store.update_assistant(
                    first.assistant_id, OWNER, AssistantChange(metadata={f"{round_}-{n}": n})
                )
                for n, store in enumerate(stores)
            )
        )
        assert all(isinstance(result, Assistant) for result in results), results
    found = await versions(lab.store, first)
    assert [v.version for v in found] == list(range(len(found), 0, -1))
    assert len(found) == 1 + len(stores) * (ROUNDS // 10)
    newest = await lab.store.get_assistant(first.assistant_id, OWNER)
    assert newest is not None
    assert (newest.version, len(newest.metadata)) == (len(found), len(found) - 1)
    # Each version holds what the one before it held, and one key more.
    assert [len(v.metadata) for v in reversed(found)] == list(range(len(found)))


async def test_an_update_that_meets_a_choice_of_version_loses_neither(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        first = await made(lab.store, name="first")
        where = (first.assistant_id, OWNER)
        await lab.store.update_assistant(*where, AssistantChange(name="second"))
        updated, chosen = await both(
            lab.store.update_assistant(*where, AssistantChange(description="d")),
            rival.set_latest(*where, 1),
        )
        assert isinstance(updated, Assistant), updated
        assert isinstance(chosen, Assistant), chosen
        assert updated.version == 3
        now = await lab.store.get_assistant(*where)
        assert now in (updated, chosen)
        assert [v.version for v in await versions(lab.store, first)] == [3, 2, 1]


async def test_a_deletion_that_meets_an_update_leaves_nothing(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        first = await made(lab.store)
        where = (first.assistant_id, OWNER)
        gone, updated = await both(
            lab.store.delete_assistant(*where, with_threads=False),
            rival.update_assistant(*where, AssistantChange(name="x")),
        )
        assert gone is True
        assert updated is None or isinstance(updated, Assistant), updated
        assert await lab.store.get_assistant(*where) is None
        assert await versions(lab.store, first) == []


async def test_a_deletion_that_meets_a_new_run_leaves_a_whole_run_or_none(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS // 5):
        mine = await made(lab.store)
        thread_id = await new_thread(lab.store, metadata={"assistant_id": mine.assistant_id})
        gone, created = await both(
            lab.store.delete_assistant(mine.assistant_id, OWNER, with_threads=True),
            rival.create_run(a_run(thread_id, assistant_id=mine.assistant_id)),
        )
        assert gone is True
        assert isinstance(created, Created | NotFound), created
        assert await dump(lab.store, thread_id) == (None, [], [])
        assert await lab.store.get_assistant(mine.assistant_id, OWNER) is None
