"""What may be said of how much is kept, and the sweep that keeps to it."""

import io
import json
import time
from dataclasses import replace
from typing import Any, TypedDict

import pytest
from aws_lambda_powertools import Logger
from langgraph.graph import START, StateGraph

from functions.settings import Settings
from functions.sweep.handler import metrics
from graph.errors import BadInput, BadProject
from graph.runtime import housekeeping
from graph.runtime.housekeeping import left_over, sweep, thin_out
from graph.runtime.models import Backlog
from graph.runtime.retention import Retention, check_retention, default_ttl
from tests.contracts.builders import ids, stepped
from tests.fixtures.driver import Driver
from tests.fixtures.service import Service, service
from tests.unit.test_template import ALARMS

DAYS_30 = 43_200


@pytest.fixture
def api() -> Service:
    return service()


def retaining(api: Service, retention: Retention) -> None:
    object.__setattr__(api.rt, "retention", retention)


@pytest.mark.parametrize("said", ["all", "run", 1, "12", 999_999])
def test_an_assistant_may_say_how_much_its_threads_keep(said: Any) -> None:
    check_retention({"retention": said})
    check_retention({"other": 1})
    check_retention(None)


@pytest.mark.parametrize("said", [0, -1, "", "many", None, True, 1.5, "1\n", "latest", {}, 10**6])
def test_what_cannot_be_kept_to_is_refused(said: Any) -> None:
    with pytest.raises(BadInput, match=r"metadata\.retention"):
        check_retention({"retention": said})


async def test_an_assistant_is_neither_made_nor_changed_so(api: Service) -> None:
    bad, body = {"retention": "many"}, {"graph_id": "steps"}
    refused = await api.call("POST", "/assistants", {**body, "metadata": bad}, status=422)
    assert "metadata.retention" in refused["detail"]
    made = await api.call("POST", "/assistants", {**body, "metadata": {"retention": 3}})
    path = f"/assistants/{made['assistant_id']}"
    await api.call("PATCH", path, {"metadata": bad}, status=422)
    assert await api.call("GET", path) == made


@pytest.mark.parametrize(
    ("said", "minutes", "ttl"),
    [
        (None, 0, None),
        ({}, 0, None),
        ({"strategy": "keep_latest"}, 0, None),
        ({"default_ttl": DAYS_30, "sweep_interval_minutes": 60}, 0, (43_200.0, "delete")),
        ({"strategy": "keep_latest", "default_ttl": 0.5}, 0, (0.5, "keep_latest")),
        ({"strategy": "keep_latest", "default_ttl": 5}, 7, (7.0, "keep_latest")),
        (None, 7, (7.0, "delete")),
    ],
)
def test_the_ttl_of_new_threads_is_read_as_langgraphs_server_does(
    said: Any, minutes: float, ttl: Any
) -> None:
    assert default_ttl(said, minutes) == ttl


@pytest.mark.parametrize(
    "said",
    [5, [], {"strategy": "archive"}, {"default_ttl": 0}, {"default_ttl": "5"},
     {"default_ttl": True}, {"default_ttl": -1}, {"default_ttl": 1e300},
     {"default_ttl": float("nan")}],
)  # fmt: skip
def test_a_ttl_that_cannot_be_understood_is_refused_at_the_start(said: Any) -> None:
    with pytest.raises(BadProject, match=r"checkpointer\.ttl"):
        default_ttl(said)


@pytest.mark.parametrize("said", ["0", "latest", "-1", "run "])
def test_a_setting_that_cannot_be_kept_to_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("QUEUE_URL", "unix:///none")
    monkeypatch.setenv("BATON_KEEP_CHECKPOINTS", said)
    with pytest.raises(BadProject, match="BATON_KEEP_CHECKPOINTS"):
        Settings.of_environment()


@pytest.mark.parametrize("strategy", ["delete", "keep_latest"])
async def test_new_threads_get_the_ttl_unless_they_say_another(api: Service, strategy: str) -> None:
    before = await api.thread()
    retaining(api, Retention(ttl=(30.0, strategy)))
    default = {"ttl_minutes": 30.0, "strategy": strategy}
    thread_id = await api.thread()
    assert (await api.call("GET", f"/threads/{thread_id}"))["ttl"] == default
    own = await api.thread(ttl=5)
    assert (await api.call("GET", f"/threads/{own}"))["ttl"]["ttl_minutes"] == 5
    assert (await api.call("GET", f"/threads/{before}")).get("ttl") is None
    made = "01890000-0000-7000-8000-000000000001"
    await api.run(made, "steps", if_not_exists="create", input={})
    assert (await api.call("GET", f"/threads/{made}"))["ttl"] == default
    asked = {"assistant_id": "steps", "input": {}}
    kept = await api.call("POST", "/runs", {**asked, "on_completion": "keep"})
    gone = await api.call("POST", "/runs", asked)
    threads = [await api.call("GET", f"/threads/{run['thread_id']}") for run in (kept, gone)]
    assert [thread["ttl"]["ttl_minutes"] for thread in threads] == [30, 60]


class State(TypedDict):
    n: int


def counting(keep: str = "all") -> Driver:
    graph = StateGraph(State).add_node("n", lambda s: {"n": s["n"] + 1}).add_edge(START, "n")
    driver = Driver(graph.compile())
    driver.rt = replace(driver.rt, retention=Retention(keep))
    return driver


async def history(driver: Driver) -> int:
    return len(await ids(driver.store, driver.thread_id))


@pytest.mark.parametrize(("keep", "left"), [("all", 9), ("run", 3), ("2", 2), ("1", 1)])
async def test_the_sweep_keeps_what_it_is_told(keep: str, left: int) -> None:
    driver = counting(keep)
    for n in range(3):
        await driver.run({"n": n})
    assert await history(driver) == 9
    driver.clock.move(2 * 3600)
    assert (await sweep(driver.rt)).thinned == 9 - left
    assert (await sweep(driver.rt)).thinned == 0
    assert await history(driver) == left
    assert await driver.values() == {"n": 3}
    await driver.run({"n": 7})
    assert await driver.values() == {"n": 8}


async def test_what_a_run_just_came_to_can_still_be_read() -> None:
    driver = counting("1")
    runs = [await driver.run({"n": n}) for n in range(2)]
    await sweep(driver.rt)
    heads = [run.head for run in runs]
    assert set(heads) == set(await ids(driver.store, driver.thread_id))
    driver.clock.move(2 * 3600)
    await sweep(driver.rt)
    assert await ids(driver.store, driver.thread_id) == heads[1:]


async def test_a_ttl_that_keeps_the_latest_is_kept_to_by_the_sweep() -> None:
    driver = counting()
    await driver.run({"n": 1})
    await driver.store.update_thread(driver.thread_id, "owner", ttl=(60.0, "keep_latest"))
    driver.clock.move(59 * 60)
    assert (await sweep(driver.rt)).thinned == 0
    driver.clock.move(120)
    assert (await sweep(driver.rt)).thinned == 2
    assert await driver.values() == {"n": 2}


async def test_one_sweep_works_off_more_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = counting("1")
    for number in range(5):
        driver.thread_id = f"thread {number}"
        await driver.run({"n": number})
    await driver.store.update_thread("thread 0", "owner", ttl=(1.0, "delete"))
    await driver.store.update_thread("thread 1", "owner", ttl=(1.0, "delete"))
    driver.clock.move(40 * 86400)
    for name, size in (("BATCH", 1), ("WINDOW", 2), ("AT_ONCE", 1)):
        monkeypatch.setattr(housekeeping, name, size)
    swept = await sweep(driver.rt)
    assert (swept.expired, swept.pruned, swept.thinned) == (2, 3, 6)


async def test_a_sweep_without_time_does_one_batch_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = counting("1")
    threads = [await stepped(driver.store, "c1", "c2", "c3") for _ in range(3)]
    driver.clock.move(40 * 86400)
    monkeypatch.setattr(housekeeping, "BATCH", 1)
    monkeypatch.setattr(housekeeping, "AT_ONCE", 1)
    swept = await sweep(driver.rt, time_left=-1)
    assert (swept.pruned, swept.thinned) == (1, 1)
    left = sorted([len(await ids(driver.store, thread_id)) for thread_id in threads])
    assert left == [2, 3, 3]
    monkeypatch.undo()
    rounds = [await thin_out(driver.rt, until=float("inf")) for _ in range(2)]
    assert sum(rounds) == 5  # the first ends where the walk does
    assert [await ids(driver.store, thread_id) for thread_id in threads] == [["c3"]] * 3


async def test_the_backlog_is_what_a_sweep_has_not_got_done() -> None:
    driver = counting()
    await driver.ask({"n": 1})
    driver.clock.move(3600)
    assert (await left_over(driver.rt)).overdue_steps == 1
    await sweep(driver.rt)
    assert (await left_over(driver.rt)).overdue_steps == 0


def test_the_backlog_is_logged_as_metrics() -> None:
    out = io.StringIO()
    backlog = Backlog(overdue_steps=3, ended_runs=7, bytes={"items": 5, "runs": 6})
    logger = Logger(service="baton-metrics", stream=out)
    logger.info("backlog", extra=metrics(backlog, "stack-SweepFunction-1"))
    said = json.loads(out.getvalue())

    (directive,) = said["_aws"]["CloudWatchMetrics"]
    names = [metric["Name"] for metric in directive["Metrics"]]
    assert abs(said["_aws"]["Timestamp"] / 1000 - time.time()) < 3600
    assert directive["Dimensions"] == [["FunctionName"]]
    assert said["FunctionName"] == "stack-SweepFunction-1"
    assert [said[name] for name in names] == [3, 0, 0, 7, 11]
    alarm = ALARMS["SweepBacklogAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (directive["Namespace"], names[0])
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "SweepFunction"}}]
