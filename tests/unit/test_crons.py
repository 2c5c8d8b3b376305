"""Crons as the sweep fires them, whatever is wrong with one of them or dies on the way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from graph.adapters.memory import MemoryStore
from graph.errors import Unavailable
from graph.runtime.crons import fire_crons
from graph.runtime.housekeeping import rescue, sweep
from graph.runtime.models import StepJob
from tests.fixtures.service import Service, service

TOMORROW = datetime.now(UTC) + timedelta(days=1)
HOURLY = {"assistant_id": "steps", "schedule": "0 * * * *", "input": {"log": ["x"]}}


async def a_cron(at: Service, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = await at.call("POST", "/runs/crons", {**HOURLY, **more})
    return made


async def fire(at: Service, now: datetime = TOMORROW) -> int:
    return await fire_crons(at.rt, limit=10, now=now)


async def seen(at: Service, cron: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = await at.call("GET", f"/runs/crons/{cron['cron_id']}")
    return found


async def test_a_broken_cron_keeps_its_reason_and_stops_no_other() -> None:
    at = service()
    broken = await a_cron(at)
    thread_id = await at.thread()
    await at.run(thread_id, "steps", input={"log": ["x"]})
    path = f"/threads/{thread_id}/runs/crons"
    refused = await at.call("POST", path, {**HOURLY, "multitask_strategy": "reject"})
    good = await a_cron(at, assistant_id="asks")
    del at.loaded.graphs["steps"]

    assert await fire(at) == 1

    error = (await seen(at, broken))["error"]
    assert (error["error"], "does not exist" in error["message"]) == ("NotFound", True)
    assert (await seen(at, refused))["error"] is not None
    assert (await seen(at, good))["error"] is None
    assert (await seen(at, broken))["next_run_date"] > TOMORROW.isoformat()[:13]
    assert await fire(at) == 0


async def test_a_busy_thread_refuses_or_queues_as_its_strategy_says() -> None:
    at = service()
    thread_id = await at.thread()
    await at.run(thread_id, "steps", input={"log": ["x"]})
    path = f"/threads/{thread_id}/runs/crons"
    refused = await at.call("POST", path, {**HOURLY, "multitask_strategy": "reject"})
    await at.call("POST", path, HOURLY)

    assert await fire(at) == 1

    assert "busy" in (await seen(at, refused))["error"]["message"]
    await at.work()
    assert (await at.call("GET", f"/threads/{thread_id}/state"))["values"]["log"] == [
        *("x", "a", "b", "c", "x", "a", "b", "c")
    ]


@pytest.mark.parametrize(("strategy", "left"), [("interrupt", "interrupted"), ("rollback", None)])
async def test_a_busy_thread_is_interrupted_or_rolled_back_as_its_strategy_says(
    strategy: str, left: str | None
) -> None:
    at = service()
    thread_id = await at.thread()
    run = await at.run(thread_id, "steps", input={"log": ["y"]})
    path = f"/threads/{thread_id}/runs/crons"
    await at.call("POST", path, {**HOURLY, "multitask_strategy": strategy})

    assert await fire(at) == 1
    await at.work()

    runs = await at.call("GET", f"/threads/{thread_id}/runs")
    statuses = {one["run_id"]: one["status"] for one in runs}
    assert statuses.pop(run["run_id"], None) == left
    assert [*statuses.values()] == ["success"]


async def test_a_firing_whose_sender_died_is_rung_by_the_sweep() -> None:
    at = service()
    await a_cron(at)

    async def dies(name: str) -> None:
        if name == "after fire":
            raise KeyboardInterrupt

    dying = replace(at.rt, cut=dies)
    with pytest.raises(KeyboardInterrupt):
        await fire_crons(dying, limit=10, now=TOMORROW)
    assert await at.queue.receive() is None
    assert await fire(at) == 0  # the run is there already

    assert await rescue(at.rt.store, at.queue, grace=-1) == 1
    await at.work()
    (thread,) = await at.call("POST", "/threads/search", {"metadata": {"stateless": True}})
    assert thread["values"] == {"log": ["x", "a", "b", "c"]}


async def test_a_queue_that_is_down_loses_no_firing() -> None:
    at = service()
    await a_cron(at)

    class Down:
        async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
            raise Unavailable("no queue")

    assert await fire_crons(replace(at.rt, queue=Down()), limit=10, now=TOMORROW) == 1
    assert await rescue(at.rt.store, at.queue, grace=-1) == 1


async def test_the_last_firing_is_the_one_before_the_end() -> None:
    at = service()
    end = TOMORROW.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    cron = await a_cron(at, end_time=end.replace(tzinfo=None).isoformat())
    assert await fire(at) == 1
    assert await fire(at, end) == 1
    assert (await seen(at, cron))["next_run_date"] is None
    assert await fire(at, end + timedelta(days=1)) == 0


async def test_a_change_keeps_a_due_time_the_sweep_has_not_come_to() -> None:
    at = service()
    cron = await a_cron(at)
    path = f"/runs/crons/{cron['cron_id']}"
    renamed = await at.call("PATCH", path, {"metadata": {"n": 1}})
    assert renamed["next_run_date"] == cron["next_run_date"]
    moved = await at.call("PATCH", path, {"timezone": "Asia/Kolkata"})
    assert moved["next_run_date"] != cron["next_run_date"]
    back = await at.call("PATCH", path, {"timezone": None})
    assert (back["timezone"], back["next_run_date"]) == (None, cron["next_run_date"])


async def test_a_change_that_does_not_go_with_what_stands_is_refused() -> None:
    at = service()
    cron = await a_cron(at)
    path = f"/runs/crons/{cron['cron_id']}"
    wrong = await at.call("PATCH", path, {"command": {"goto": "a"}}, status=422)
    assert "input and command exclude each other" in wrong["detail"]
    assert await seen(at, cron) == cron


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"webhook": "http://127.0.0.1/"}, "webhook"),
        ({"config": {"configurable": {"budget": {"usd": "much"}}}}, "usd"),
        ({"checkpoint_id": str(uuid4())}, "checkpoint"),
    ],
)
async def test_a_run_that_could_not_be_made_is_no_cron(wrong: dict[str, Any], named: str) -> None:
    at = service()
    cron = await a_cron(at)
    for method, path in (("POST", "/runs/crons"), ("PATCH", f"/runs/crons/{cron['cron_id']}")):
        answer = await at.call(method, path, {**HOURLY, **wrong}, status=422)
        assert named in answer["detail"]
    assert await at.call("POST", "/runs/crons/search", {}) == [cron]


async def test_a_new_thread_asks_nothing_that_a_cron_could_answer() -> None:
    at = service()
    body = {"assistant_id": "asks", "schedule": "0 * * * *", "command": {"resume": "yes"}}
    assert "question" in (await at.call("POST", "/runs/crons", body, status=422))["detail"]
    await at.call("POST", f"/threads/{await at.thread()}/runs/crons", body)


async def test_a_broken_cron_can_still_be_disabled() -> None:
    at = service()
    cron = await a_cron(at)
    del at.loaded.graphs["steps"]
    path = f"/runs/crons/{cron['cron_id']}"
    assert (await at.call("PATCH", path, {"enabled": False}))["next_run_date"] is None


async def test_the_assistant_as_it_is_now_is_run() -> None:
    at = service()
    assistant = await at.call(
        "POST", "/assistants", {"graph_id": "steps", "config": {"tags": ["old"]}}
    )
    await a_cron(at, assistant_id=assistant["assistant_id"], after_seconds=0)
    path = f"/assistants/{assistant['assistant_id']}"
    await at.call("PATCH", path, {"config": {"tags": ["new"]}})
    await fire(at)
    (thread,) = await at.call("POST", "/threads/search", {"metadata": {"stateless": True}})
    (run,) = await at.call("GET", f"/threads/{thread['thread_id']}/runs")
    assert run["kwargs"]["config"]["tags"] == ["new"]


async def test_the_sweep_fires_what_is_due() -> None:
    at = service(store := MemoryStore())
    cron = await a_cron(at)
    row = store.tables.crons[cron["cron_id"]]
    store.tables.crons[cron["cron_id"]] = replace(row, next_run_date=datetime.now(UTC))
    assert (await sweep(at.rt)).fired == 1
    assert (await sweep(at.rt)).fired == 0


async def test_an_owner_at_the_quota_misses_a_firing_and_is_told() -> None:
    at = service(most_unfinished=1)
    await at.run(await at.thread(), "steps", input={"log": ["x"]})
    cron = await a_cron(at)

    assert await fire(at) == 0

    missed = await seen(at, cron)
    assert (missed["error"]["error"], "at most 1" in missed["error"]["message"]) == (
        "TooMany",
        True,
    )
    assert missed["next_run_date"] > TOMORROW.isoformat()[:13]
    assert await at.call("POST", "/threads/search", {"metadata": {"stateless": True}}) == []

    await at.work()
    assert await fire(at, TOMORROW + timedelta(hours=1)) == 1
    assert (await seen(at, cron))["error"] is None


async def test_a_deleted_assistant_takes_its_crons_along_and_leaves_its_queued_runs() -> None:
    at = service()
    made = await at.call("POST", "/assistants", {"graph_id": "steps"})
    path = f"/assistants/{made['assistant_id']}"
    cron = await a_cron(at, assistant_id=made["assistant_id"])
    other = await a_cron(at)
    thread_id = await at.thread()
    for word in ("x", "y"):
        await at.run(thread_id, made["assistant_id"], input={"log": [word]})

    await at.call("DELETE", path, status=204)

    await at.call("GET", f"/runs/crons/{cron['cron_id']}", status=404)
    await at.call("POST", f"{path}/versions", {}, status=404)
    await at.call("POST", f"{path}/latest", {"version": 1}, status=404)
    await at.call("PATCH", path, {"name": "again"}, status=404)
    await at.call("DELETE", path, status=404)
    assert await fire(at) == 1
    assert (await seen(at, other))["error"] is None
    await at.work()
    values = (await at.call("GET", f"/threads/{thread_id}/state"))["values"]
    assert values["log"] == ["x", "a", "b", "c", "y", "a", "b", "c"]
