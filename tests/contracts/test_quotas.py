"""How many runs of an owner may be unfinished: never one more, whoever asks at once."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.errors import TooMany
from graph.runtime.models import Cron, Ending, Firing, NewRun
from graph.runtime.ports import Store
from tests.contracts.at_once import both, kinds
from tests.contracts.builders import (
    a_run,
    claimed,
    new_thread,
    run_of,
    step_to,
    thread_name,
)
from tests.contracts.lab import Lab

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def nobody() -> str:
    """An owner of whom there is nothing yet."""
    return f"owner {uuid.uuid4()}"


async def of(store: Store, owner: str, most: int, **changes: Any) -> NewRun:
    """A run on a thread of its own, of which there is one already."""
    thread_id = await new_thread(store, owner=owner)
    return replace(a_run(thread_id, owner=owner, most_unfinished=most), **changes)


def alone(owner: str, most: int) -> NewRun:
    return a_run(thread_name(), owner=owner, most_unfinished=most)


async def test_a_run_above_the_quota_is_refused_and_leaves_no_trace(store: Store) -> None:
    owner = nobody()
    await store.create_run(await of(store, owner, 2))
    await store.create_run(await of(store, owner, 2))
    refused = await of(store, owner, 2)
    before = await store.get_thread(refused.thread_id, owner)
    with pytest.raises(TooMany, match="at most 2 runs"):
        await store.create_run(refused)
    assert await store.get_thread(refused.thread_id, owner) == before
    assert await store.runs_by_id([refused.run_id]) == []
    await store.create_run(await of(store, nobody(), 2))
    await store.create_run(await of(store, owner, 0))


async def test_a_run_that_ends_makes_room(store: Store) -> None:
    owner = nobody()
    claim = await claimed(store, await new_thread(store, owner=owner), owner=owner)
    waits = await of(store, owner, 1)
    with pytest.raises(TooMany):
        await store.create_run(waits)
    await store.advance(claim, step_to("c1", Ending.DONE))
    assert (await store.create_run(waits)).job is not None


async def test_of_several_asked_for_at_once_all_are_accepted_or_none(store: Store) -> None:
    owner = nobody()
    with pytest.raises(TooMany):
        await store.create_alone([alone(owner, 2) for _ in range(3)])
    assert await store.unfinished_runs(owner, limit=9) == []
    assert len(await store.create_alone([alone(owner, 2) for _ in range(2)])) == 2
    with pytest.raises(TooMany):
        await store.create_alone([alone(owner, 2)])


async def test_a_run_in_place_of_others_needs_no_room_but_theirs(store: Store) -> None:
    owner = nobody()
    claim = await claimed(store, await new_thread(store, owner=owner), owner=owner)
    run = run_of(claim)
    instead = a_run(run.thread_id, owner=owner, most_unfinished=1, multitask_strategy="interrupt")
    assert (await store.create_run(instead)).ended == (run.run_id,)
    with pytest.raises(TooMany):
        await store.create_run(a_run(run.thread_id, owner=owner, most_unfinished=1))


async def test_the_same_request_again_is_no_further_run(store: Store) -> None:
    owner = nobody()
    same = {"idempotency_key": "k", "request_hash": "h"}
    new = await of(store, owner, 1, **same)
    await store.create_run(new)
    assert (await store.create_run(new)).repeated
    only = replace(alone(owner, 1), idempotency_key="k", request_hash="h")
    (again,) = await store.create_alone([only])
    assert again.repeated


async def test_those_who_ask_at_once_share_one_quota(lab: Lab) -> None:
    stores = [lab.another() for _ in range(4)]
    for _ in range(5):
        owner = nobody()
        new = [await of(lab.store, owner, 3) for _ in stores]
        results = await both(
            *(store.create_run(run) for store, run in zip(stores, new, strict=True)),
            *(store.create_alone([alone(owner, 3)]) for store in stores),
        )
        assert kinds(results).count("TooMany") == 5, results
        assert len(await lab.store.unfinished_runs(owner, limit=9)) == 3


async def test_a_cron_and_a_client_on_one_thread_wait_for_each_other(lab: Lab) -> None:
    stores = [lab.another() for _ in range(2)]
    for _ in range(10):
        owner = nobody()
        thread_id = await new_thread(lab.store, owner=owner)
        cron = Cron(
            str(uuid.uuid4()),
            owner,
            "chat",
            "0 * * * *",
            NOW,
            NOW,
            thread_id=thread_id,
            next_run_date=NOW,
        )
        await lab.store.create_cron(cron)
        new = [a_run(thread_id, owner=owner, most_unfinished=1) for _ in stores]
        results = await both(
            stores[0].fire_cron(Firing(cron, new[0], NOW + timedelta(hours=1))),
            stores[1].create_run(new[1]),
        )
        assert kinds(results) == ["Created", "TooMany"], results
        refused = isinstance(results[0], TooMany)
        stands = await lab.store.get_cron(cron.cron_id, owner)
        assert (stands.next_run_date == NOW) == refused
