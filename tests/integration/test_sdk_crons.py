"""Crons through the unmodified SDK, on Postgres behind pgbouncer, fired by sweeps."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from graph.adapters.postgres import PostgresStore
from graph.errors import Unavailable
from graph.runtime.crons import fire_crons
from tests.fixtures.service import Service, service, worker
from tests.integration.test_sdk import INPUT, served

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@dataclass
class Clock:
    """A client, and the sweep that fires at the hour it is told."""

    sdk: Any
    service: Service
    url: str

    async def sweep(self, now: datetime = TOMORROW) -> int:
        return await fire_crons(self.service.rt, limit=500, now=now)

    async def runs(self, cron: Any) -> list[Any]:
        """What a cron has made, ended."""
        threads = await self.sdk.threads.search(metadata={"cron_id": cron["cron_id"]})
        for thread in threads:
            for run in await self.sdk.runs.list(thread["thread_id"]):
                await self.sdk.runs.join(thread["thread_id"], run["run_id"])
        found = [await self.sdk.runs.list(thread["thread_id"]) for thread in threads]
        return [run for runs in found for run in runs]


@pytest.fixture
async def clock(database_url: str) -> AsyncIterator[Clock]:
    store = PostgresStore(database_url)
    behind = service(store)
    async with served(behind.app) as url, worker(behind), get_client(url=url) as sdk:
        yield Clock(sdk, behind, url)
    await store.close()


async def test_a_cron_from_creation_to_deletion(clock: Clock) -> None:
    crons = clock.sdk.crons
    end = TOMORROW + timedelta(days=9)

    made = await crons.create(
        "steps",
        schedule="30 8 * * *",
        input=INPUT,
        metadata={"team": "ops"},
        config={"tags": ["t"], "configurable": {"k": 1}},
        interrupt_before=["c"],
        end_time=end,
        timezone=ZoneInfo("Europe/Berlin"),
        on_run_completed="keep",
        multitask_strategy="reject",
    )

    assert (made["schedule"], made["timezone"]) == ("30 8 * * *", "Europe/Berlin")
    assert (made["enabled"], made["on_run_completed"], made["thread_id"]) == (True, "keep", None)
    assert datetime.fromisoformat(made["end_time"]) == end
    due = datetime.fromisoformat(made["next_run_date"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (due.hour, due.minute) == (8, 30)
    assert made["payload"]["input"] == INPUT
    assert made["payload"]["interrupt_before"] == ["c"]
    assert (made["metadata"], made["error"]) == ({"team": "ops"}, None)
    assert await crons.search() == [made]

    changed = await crons.update(made["cron_id"], schedule="0 9 * * *", input={"log": ["y"]})
    assert changed["payload"] == {**made["payload"], "input": {"log": ["y"]}}
    assert (changed["timezone"], changed["end_time"]) == ("Europe/Berlin", made["end_time"])
    later = datetime.fromisoformat(changed["next_run_date"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (later.hour, later.minute) == (9, 0)
    cleared = await crons.update(made["cron_id"], end_time=None, enabled=False)
    assert (cleared["end_time"], cleared["enabled"], cleared["next_run_date"]) == (
        None,
        False,
        None,
    )
    again = await crons.update(made["cron_id"], enabled=True)
    assert again["next_run_date"] == changed["next_run_date"]

    await crons.delete(made["cron_id"])
    assert await crons.search() == []
    with pytest.raises(NotFoundError):
        await crons.delete(made["cron_id"])
    assert await clock.sweep() == 0


async def test_each_firing_is_a_run_on_a_new_thread(clock: Clock) -> None:
    cron = await clock.sdk.crons.create(
        "steps",
        schedule="0 * * * *",
        input=INPUT,
        metadata={"team": "ops"},
        config={"tags": ["t"], "recursion_limit": 9},
    )

    assert await clock.sweep() == 1  # a day of downtime is made up for once
    assert await clock.sweep() == 0
    assert await clock.sweep(TOMORROW + timedelta(hours=1)) == 1
    first, second = await clock.runs(cron)

    assert first["thread_id"] != second["thread_id"]
    for run in (first, second):
        assert run["status"] == "success"
        assert run["metadata"]["team"] == "ops"
        assert run["kwargs"]["config"]["tags"] == ["t"]
        assert run["kwargs"]["config"]["recursion_limit"] == 9
        thread = await clock.sdk.threads.get(run["thread_id"])
        assert thread["values"] == {"log": ["x", "a", "b", "c"]}
        assert thread["ttl"]["strategy"] == "delete"


async def test_a_cron_of_a_thread_runs_on_it(clock: Clock) -> None:
    thread_id = (await clock.sdk.threads.create())["thread_id"]
    cron = await clock.sdk.crons.create_for_thread(
        thread_id, "steps", schedule="0 * * * *", input=INPUT
    )

    for hours in (0, 1):
        assert await clock.sweep(TOMORROW + timedelta(hours=hours)) == 1
        run, *_ = await clock.sdk.runs.list(thread_id)
        await clock.sdk.runs.join(thread_id, run["run_id"])

    assert cron["thread_id"] == thread_id
    values = (await clock.sdk.threads.get(thread_id))["values"]
    assert values == {"log": ["x", "a", "b", "c"] * 2}
    with pytest.raises(NotFoundError):
        await clock.sdk.crons.create_for_thread(str(uuid4()), "steps", schedule="0 * * * *")
    await clock.sdk.threads.delete(thread_id)
    assert await clock.sdk.crons.count() == 0


async def test_search_count_select_and_pages(clock: Clock) -> None:
    crons = clock.sdk.crons
    thread_id = (await clock.sdk.threads.create())["thread_id"]
    one = await crons.create("steps", schedule="0 1 * * *", metadata={"n": 1})
    two = await crons.create("asks", schedule="0 2 * * *", enabled=False)
    three = await crons.create_for_thread(thread_id, "steps", schedule="0 3 * * *")

    def ids(found: Any) -> list[str]:
        return [cron["cron_id"] for cron in found]

    assert ids(await crons.search()) == ids([three, two, one])
    assert ids(await crons.search(assistant_id="asks")) == ids([two])
    assert ids(await crons.search(assistant_id=one["assistant_id"], sort_order="asc")) == ids(
        [one, three]
    )
    assert ids(await crons.search(thread_id=thread_id)) == ids([three])
    assert ids(await crons.search(enabled=False)) == ids([two])
    assert ids(await crons.search(metadata={"n": 1})) == ids([one])
    assert await crons.search(limit=1, select=["schedule"]) == [{"schedule": "0 3 * * *"}]
    assert await crons.search(assistant_id="unknown") == []
    assert (await crons.count(), await crons.count(assistant_id="steps")) == (3, 2)
    async with httpx.AsyncClient(base_url=clock.url) as http:
        page = await http.post("/runs/crons/search", json={"limit": 2})
        found = await http.get(f"/runs/crons/{one['cron_id']}")
    assert (page.headers["X-Pagination-Total"], page.headers["X-Pagination-Next"]) == ("3", "2")
    assert found.json() == one


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"schedule": "every day"}, "schedule"),
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"schedule": "* * * * * *"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"end_time": datetime(2020, 1, 1, tzinfo=UTC)}, "end_time"),
        ({"config": {"recursion_limit": 0}}, "recursion_limit"),
        ({"on_run_completed": "burn"}, "on_run_completed"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(
    clock: Clock, wrong: dict[str, Any], field: str
) -> None:
    made = await clock.sdk.crons.create("steps", schedule="0 1 * * *", input=INPUT)
    with pytest.raises(UnprocessableEntityError, match=field):
        await clock.sdk.crons.create("steps", **{"schedule": "0 1 * * *", **wrong})
    with pytest.raises(UnprocessableEntityError, match=field):
        await clock.sdk.crons.update(made["cron_id"], **wrong)
    assert await clock.sdk.crons.search() == [made]


async def test_an_unknown_assistant_is_refused(clock: Clock) -> None:
    with pytest.raises(NotFoundError):
        await clock.sdk.crons.create("unknown", schedule="0 1 * * *")


async def test_sweeps_at_once_fire_each_due_time_once(clock: Clock, database_url: str) -> None:
    crons = [await clock.sdk.crons.create("steps", schedule="0 * * * *") for _ in range(5)]
    stores = [PostgresStore(database_url) for _ in range(3)]
    others = [service(store) for store in stores]
    fired = await asyncio.gather(
        *(fire_crons(other.rt, limit=500, now=TOMORROW) for other in others), clock.sweep()
    )
    assert sum(fired) == len(crons)
    for cron in crons:
        assert await clock.sdk.threads.count(metadata={"cron_id": cron["cron_id"]}) == 1
    for store in stores:
        await store.close()


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_sweep_that_dies_within_a_firing_leaves_it_to_the_next(
    clock: Clock, database_url: str, goes_on: bool
) -> None:
    cron = await clock.sdk.crons.create("steps", schedule="0 * * * *", input=INPUT)
    dying = PostgresStore(database_url)
    (due,) = await dying.due_crons(now=TOMORROW, limit=1)
    moved = {"cron_id": due.cron_id, "thread_id": None, "due": due.next_run_date}

    async def die() -> None:
        async with dying.db.transaction() as db:
            assert await db.one("move_cron", {**moved, "next_run_date": None, "error": None})
            await (await db.connection()).close()
            if goes_on:  # what follows must not be done alone, on another connection
                await db.one("delete_cron", {"cron_id": due.cron_id, "owner": due.owner})

    with pytest.raises(Unavailable):
        await die()
    assert await dying.get_cron(due.cron_id, due.owner) == due
    async with dying.db.transaction() as db:
        assert await db.one("get_cron", {"cron_id": due.cron_id, "owner": due.owner})
    await dying.close()

    assert await clock.sweep() == 1
    assert len(await clock.runs(cron)) == 1
