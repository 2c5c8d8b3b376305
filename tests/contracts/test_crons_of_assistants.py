"""Crons of assistants that clients make: they go with them."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from graph.errors import NotFound
from graph.runtime.models import Assistant, Created, Cron, Firing
from graph.runtime.ports import Store
from tests.contracts.at_once import both
from tests.contracts.builders import OWNER, STRANGER, a_run, new_thread, thread_name
from tests.contracts.lab import Lab

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def made(store: Store) -> Assistant:
    new = Assistant(str(uuid.uuid4()), OWNER, "chat", "Helper", created_at=NOW, updated_at=NOW)
    found = await store.create_assistant(new)
    assert found is not None
    return found


def a_cron(assistant: Assistant, **changes: Any) -> Cron:
    made = assistant.assistant_id
    cron = Cron(str(uuid.uuid4()), OWNER, made, "0 * * * *", NOW, NOW, made_assistant=made)
    return replace(cron, **{"next_run_date": NOW, **changes})


async def test_crons_go_with_their_assistant_and_with_no_other(store: Store) -> None:
    gone, stays = await made(store), await made(store)
    cron = await store.create_cron(a_cron(gone, thread_id=await new_thread(store)))
    kept = [
        await store.create_cron(a_cron(stays)),
        await store.create_cron(a_cron(gone, made_assistant=None)),
    ]

    assert await store.delete_assistant(gone.assistant_id, OWNER, with_threads=False)

    with pytest.raises(NotFound):
        await store.get_cron(cron.cron_id, OWNER)
    assert await store.fire_cron(Firing(cron, a_run(cron.thread_id or ""), None)) is None
    assert [await store.get_cron(each.cron_id, OWNER) for each in kept] == kept


async def test_a_cron_needs_the_assistant_that_it_goes_with(store: Store) -> None:
    gone = await made(store)
    await store.delete_assistant(gone.assistant_id, OWNER, with_threads=True)
    with pytest.raises(NotFound):
        await store.create_cron(a_cron(gone))
    with pytest.raises(NotFound):
        await store.create_cron(a_cron(await made(store), owner=STRANGER))


async def test_a_deletion_that_meets_a_new_cron_or_a_firing_leaves_no_cron(lab: Lab) -> None:
    for _ in range(10):
        assistant = await made(lab.store)
        fires = await lab.store.create_cron(a_cron(assistant))
        new = a_cron(assistant)
        created, deleted, fired = await both(
            lab.another().create_cron(new),
            lab.another().delete_assistant(assistant.assistant_id, OWNER, with_threads=True),
            lab.another().fire_cron(Firing(fires, a_run(thread_name()), None)),
        )
        assert deleted is True
        assert isinstance(created, Cron | NotFound), created
        assert fired is None or isinstance(fired, Created), fired
        for cron in (fires, new):
            with pytest.raises(NotFound):
                await lab.store.get_cron(cron.cron_id, OWNER)
