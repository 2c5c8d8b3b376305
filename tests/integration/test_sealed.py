"""With keys nothing that a user said is found in the database; without, all of it is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from graph.adapters.long_term import LongTermStore
from graph.adapters.postgres import PostgresStore
from graph.adapters.sealing import NO_KEYS, Keys
from graph.adapters.sealing.columns import TABLES
from graph.adapters.store_config import store_config
from graph.errors import Tampered
from graph.runtime.crons import fire_crons
from graph.runtime.step import step_all
from tests.fixtures.canaries import CANARY, canaries, found_in, sing
from tests.fixtures.keys import a_ring
from tests.fixtures.service import Service, service
from tests.integration.test_sdk_crons import TOMORROW
from tests.unit.test_webhooks import Bell

SEALED = {f"{name}.{column}" for name, table in TABLES.items() for column in table.columns}
HASHED = {"runs.request_hash"}  # sealed, for a short text is guessed by its hash


class Sealed:
    """A service over a database, with keys or without."""

    def __init__(self, url: str, keys: Keys) -> None:
        self.store = PostgresStore(url, keys=keys)
        config = store_config(None, lambda target: target)
        self.long_term = LongTermStore(self.store.db.another(), config)
        self.behind: Service = service(
            self.store, long_term=self.long_term, more_graphs=canaries(), notices=Bell()
        )

    async def __aenter__(self) -> Service:
        return self.behind

    async def __aexit__(self, *_: object) -> None:
        await self.long_term.close()
        await self.store.close()


async def test_without_keys_the_canary_is_in_every_column_that_keys_seal(
    database_url: str, direct_url: str
) -> None:
    async with Sealed(database_url, NO_KEYS) as behind:
        await sing(behind, "default")
    assert found_in(direct_url) == SEALED - HASHED


async def test_with_keys_it_is_nowhere_and_clients_see_what_they_saw(
    database_url: str, direct_url: str
) -> None:
    async with Sealed(database_url, a_ring("k1")) as behind:
        made = await sing(behind, "default")
        assert found_in(direct_url) == set()
        for thread_id in (made["thread"], made["failed"], made["copied"]):
            seen = await behind.seen(thread_id)
            assert "baton~" not in str(seen)
            assert CANARY in str(seen)


async def test_items_are_found_by_equal_values_and_by_no_order(database_url: str) -> None:
    async with Sealed(database_url, NO_KEYS) as behind:
        await _put(behind, "old", {"n": 1, "who": {"deep": [1, "a"]}})
    async with Sealed(database_url, a_ring("k1")) as behind:
        await _put(behind, "new", {"n": 1, "who": None, "even": True})
        await _put(behind, "other", {"n": 2})
        for wanted, keys in (
            ({"n": 1}, ["new", "old"]),
            ({"n": {"$eq": 1.0}, "even": True}, ["new"]),
            ({"n": {"$ne": 1}}, ["other"]),
            ({"who": None}, ["new"]),
            ({}, ["new", "old", "other"]),
        ):
            found = await behind.call("POST", "/store/items/search", {"filter": wanted})
            assert sorted(item["key"] for item in found["items"]) == keys, wanted
        ordered = {"filter": {"n": {"$gt": 1}}}
        said = await behind.call("POST", "/store/items/search", ordered, status=422)
        assert "filter.n: values are encrypted" in said["detail"]


async def _put(behind: Service, key: str, value: Any) -> None:
    item = {"namespace": ["notes"], "key": key, "value": value}
    await behind.call("PUT", "/store/items", item, status=204)


async def test_a_thread_whose_key_is_missing_waits_and_the_others_of_its_batch_go_on(
    database_url: str, direct_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"input": {"log": ["x"]}}
    async with Sealed(database_url, a_ring("k1")) as behind:
        unread, lost = [await behind.thread(metadata={"n": n}) for n in range(2)]
        await behind.run(unread, "steps", **asked)
        (job,) = [sent.job for sent in behind.queue.sent]
    async with Sealed(database_url, a_ring("k2")) as behind:
        for _ in range(9):  # more often than a step may be tried
            other = await behind.thread()
            await behind.run(other, "steps", **asked)
            queued = [sent.job for sent in behind.queue.sent]
            jobs = [job, *(one for one in queued if one.thread_id == other)]
            behind.queue.sent.clear()
            ended = await step_all(jobs, behind.rt, time_left=30)
            assert ended[0] == "asleep"
            assert set(ended[1:]) == {"more"}
            _wake(direct_url, unread)
        assert "sealed with key 'k1'" in caplog.text
        (again,) = [sent for sent in behind.queue.sent if sent.job.thread_id == unread]
        assert again.job == replace(job, redelivered=True)
        for path in ("", "/state", "/history", "/runs"):
            await behind.call("GET", f"/threads/{unread}{path}", status=503)
        await behind.call("DELETE", f"/threads/{lost}", status=204)
    async with Sealed(database_url, a_ring("k2", "k1")) as behind:
        await behind.queue.send(job, owner="default")
        await behind.work()
        state = await behind.call("GET", f"/threads/{unread}/state")
        assert state["values"] == {"log": ["x", "a", "b", "c"]}


async def test_crons_whose_key_is_missing_hold_up_no_others(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"assistant_id": "steps", "schedule": "0 * * * *", "input": {"log": ["x"]}}
    for day, key_id in enumerate(("lost", "k1")):
        async with Sealed(database_url, a_ring(key_id)) as behind:
            await behind.call("POST", "/runs/crons", asked)
            now = TOMORROW + timedelta(days=day)
            assert await fire_crons(behind.rt, limit=10, now=now) == 1
    assert "a row of default is left out" in caplog.text
    assert "is sealed with key 'lost'" in caplog.text


def _wake(url: str, thread_id: str) -> None:
    """As if its time had come."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE threads SET wake_at = NULL WHERE thread_id = %s", [thread_id])


async def test_a_row_in_anothers_place_is_not_opened(database_url: str, direct_url: str) -> None:
    async with Sealed(database_url, a_ring("k1")) as behind:
        made = await sing(behind, "default")
        with psycopg.connect(direct_url) as connection:
            connection.execute("UPDATE threads SET owner = 'mallory'")
        for read in (
            behind.rt.store.get_thread(made["thread"], "mallory"),
            behind.rt.store.load(made["thread"], "", None),
        ):
            with pytest.raises(Tampered, match="it was changed, or is of another place"):
                await read
