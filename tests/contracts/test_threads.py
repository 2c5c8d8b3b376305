"""Threads as clients see them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import Json, ThreadQuery, ThreadStatus
from graph.runtime.ports import Store
from tests.contracts.builders import (
    OWNER,
    STRANGER,
    a_thread,
    claimed,
    dump,
    new_thread,
    run_of,
    started,
    stepped,
)

METADATA: Json = {
    "n": 1,
    "on": True,
    "tags": ["x", "y"],
    "deep": {"k": {"z": True}},
    "items": [{"id": 1, "name": "one"}, {"id": 2}],
    "nothing": None,
}


async def search(store: Store, owner: str = OWNER, **query: Any) -> list[str]:
    found, _ = await store.search_threads(owner, ThreadQuery(**query))
    return [thread.thread_id for thread in found]


async def test_a_thread_is_read_back_as_it_was_made(store: Store) -> None:
    thread = a_thread(
        metadata=METADATA, config={"configurable": {"a": 1}}, ttl_minutes=1.5, ttl_strategy="delete"
    )
    made = await store.create_thread(thread)
    assert (made.thread_id, made.owner, made.status) == (thread.thread_id, OWNER, ThreadStatus.IDLE)
    assert (made.metadata, made.config) == (METADATA, thread.config)
    assert (made.ttl_minutes, made.ttl_strategy) == (1.5, "delete")
    assert (made.seq, made.head, made.active_run_id, made.queued) == (0, None, None, ())
    assert (made.interrupts, made.error) == ({}, None)
    assert abs(made.created_at - thread.created_at) < timedelta(seconds=5)
    assert await store.get_thread(thread.thread_id, OWNER) == made


async def test_a_thread_is_not_made_twice(store: Store) -> None:
    made = await store.create_thread(a_thread(metadata={"first": True}))
    again = a_thread(thread_id=made.thread_id, metadata={"first": False})
    with pytest.raises(Conflict, match=made.thread_id):
        await store.create_thread(again)
    assert await store.create_thread(again, if_exists="do_nothing") == made
    assert await store.get_thread(made.thread_id, OWNER) == made


async def test_do_nothing_makes_a_thread_that_is_missing(store: Store) -> None:
    made = await store.create_thread(a_thread(), if_exists="do_nothing")
    assert await store.get_thread(made.thread_id, OWNER) == made


async def test_an_unknown_thread_is_not_found(store: Store) -> None:
    missing = a_thread().thread_id
    with pytest.raises(NotFound, match=missing):
        await store.get_thread(missing, OWNER)
    with pytest.raises(NotFound, match=missing):
        await store.update_thread(missing, OWNER, metadata={"a": 1})
    with pytest.raises(NotFound, match=missing):
        await store.delete_thread(missing, OWNER)


async def test_metadata_is_merged_key_by_key_at_the_top(store: Store) -> None:
    thread_id = await new_thread(store, metadata={"keep": 1, "deep": {"a": 1}})
    updated = await store.update_thread(
        thread_id, OWNER, metadata={"deep": {"b": 2}, "new": [1], "none": None}
    )
    assert updated.metadata == {"keep": 1, "deep": {"b": 2}, "new": [1], "none": None}
    assert (updated.ttl_minutes, updated.ttl_strategy) == (None, None)
    assert await store.get_thread(thread_id, OWNER) == updated


async def test_a_ttl_is_set_without_touching_metadata_and_stays(store: Store) -> None:
    thread_id = await new_thread(store, metadata={"keep": 1})
    updated = await store.update_thread(thread_id, OWNER, ttl=(60, "keep_latest"))
    assert (updated.ttl_minutes, updated.ttl_strategy) == (60, "keep_latest")
    assert updated.metadata == {"keep": 1}
    updated = await store.update_thread(thread_id, OWNER, metadata={"more": 2})
    assert (updated.ttl_minutes, updated.ttl_strategy) == (60, "keep_latest")
    assert updated.metadata == {"keep": 1, "more": 2}


async def test_an_update_is_seen_in_updated_at_only(store: Store) -> None:
    thread_id = await new_thread(store)
    before = await store.get_thread(thread_id, OWNER)
    after = await store.update_thread(thread_id, OWNER, metadata={"a": 1})
    assert after.updated_at > before.updated_at
    assert after.created_at == before.created_at


async def test_changing_a_thread_that_was_given_changes_nothing_stored(store: Store) -> None:
    metadata: Json = {"list": [1]}
    made = await store.create_thread(a_thread(metadata=metadata))
    metadata["list"].append(2)
    made.metadata["list"].append(3)
    found, _ = await store.search_threads(OWNER, ThreadQuery())
    found[0].metadata["list"].append(4)
    assert (await store.get_thread(made.thread_id, OWNER)).metadata == {"list": [1]}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, True),
        ({"n": 1}, True),
        ({"n": 1.0}, True),
        ({"n": 2}, False),
        ({"n": "1"}, False),
        ({"n": True}, False),
        ({"on": 1}, False),
        ({"on": True, "n": 1}, True),
        ({"on": True, "n": 2}, False),
        ({"tags": ["y"]}, True),
        ({"tags": ["y", "x", "y"]}, True),
        ({"tags": ["z"]}, False),
        ({"tags": []}, True),
        ({"tags": {}}, False),
        ({"tags": "x"}, False),
        ({"deep": {"k": {}}}, True),
        ({"deep": {"k": {"z": True}}}, True),
        ({"deep": {"z": True}}, False),
        ({"deep": []}, False),
        ({"items": [{"id": 1}]}, True),
        ({"items": [{"id": 1, "name": "two"}]}, False),
        ({"items": {"id": 1}}, False),
        ({"nothing": None}, True),
        ({"missing": None}, False),
        ({"n": None}, False),
    ],
    ids=str,
)
async def test_search_finds_metadata_by_containment(
    store: Store, wanted: Json, found: bool
) -> None:
    thread_id = await new_thread(store, metadata=METADATA)
    assert await search(store, metadata=wanted) == ([thread_id] if found else [])


async def test_search_pages_newest_first_and_counts_all_matches(store: Store) -> None:
    now = datetime.now(UTC)
    made = [
        await new_thread(store, metadata={"mine": True}, created_at=now - timedelta(minutes=age))
        for age in (50, 40, 30, 20, 10)
    ]
    await new_thread(store)
    query = ThreadQuery(metadata={"mine": True}, limit=2, offset=1)
    page, total = await store.search_threads(OWNER, query)
    assert [thread.thread_id for thread in page] == [made[3], made[2]]
    assert total == 5


async def test_a_page_beyond_the_end_is_empty_but_still_counts(store: Store) -> None:
    await new_thread(store)
    assert await store.search_threads(OWNER, ThreadQuery(offset=5)) == ([], 1)


async def test_search_finds_by_ids_and_by_status(store: Store) -> None:
    idle = await new_thread(store)
    run, _ = await started(store)
    missing = a_thread().thread_id
    assert await search(store, ids=(idle, missing)) == [idle]
    assert await search(store, status=ThreadStatus.BUSY) == [run.thread_id]
    assert await search(store, status=ThreadStatus.IDLE) == [idle]
    assert await search(store, status=ThreadStatus.IDLE, ids=(run.thread_id,)) == []
    assert await search(store, status=ThreadStatus.ERROR) == []


@pytest.mark.parametrize("sort_by", ["thread_id", "status", "created_at", "updated_at"])
@pytest.mark.parametrize("descending", [True, False])
async def test_search_sorts_by_what_was_asked(store: Store, sort_by: Any, descending: bool) -> None:
    for _ in range(3):
        await new_thread(store)
    for thread_id in await search(store, limit=2):
        await started(store, thread_id)
    page, _ = await store.search_threads(OWNER, ThreadQuery(sort_by=sort_by, descending=descending))
    keys = [getattr(thread, sort_by) for thread in page]
    assert len(keys) == 3
    assert keys == sorted(keys, reverse=descending)


async def test_pages_of_equals_neither_repeat_nor_skip(store: Store) -> None:
    made = {await new_thread(store) for _ in range(7)}
    pages = [await search(store, sort_by="status", limit=3, offset=start) for start in (0, 3, 6)]
    assert sorted(thread_id for page in pages for thread_id in page) == sorted(made)


async def test_search_shows_an_owner_only_their_own(store: Store) -> None:
    mine = await new_thread(store)
    theirs = await new_thread(store, owner=STRANGER)
    assert await search(store) == [mine]
    assert await search(store, STRANGER) == [theirs]
    assert await search(store, ids=(theirs,)) == []


async def test_a_deleted_thread_takes_all_it_had_with_it(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    claim = await claimed(store, thread_id, idempotency_key="k", request_hash="h")
    other = await stepped(store, "c1")
    kept = await dump(store, other)
    await store.delete_thread(thread_id, OWNER)
    with pytest.raises(NotFound, match=thread_id):
        await store.get_thread(thread_id, OWNER)
    with pytest.raises(NotFound):
        await store.get_run(run_of(claim).run_id, thread_id, OWNER)
    assert await store.runs_by_id([run_of(claim).run_id]) == []
    assert await store.load(thread_id, "", "c1") is None
    assert await store.history(thread_id, None) == []
    assert await dump(store, other) == kept
    run, _ = await started(store, other, idempotency_key="k", request_hash="other")
    assert run.thread_id == other
