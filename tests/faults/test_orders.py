"""The chat agent changes orders under workers that are killed at work: each order exactly once."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph_sdk import get_client

from infra.local.event_source import Pace
from infra.local.stack import Stack
from tests.faults.conftest import Run, Size

pytestmark = pytest.mark.fault

PROJECT = Path(__file__).parents[2] / "langgraph.json"
MODEL = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "BATON_MODEL")
PATIENCE = 400.0
PLACE = (
    "INSERT INTO orders (owner, order_id, item, status) VALUES ('default', %s, 'kettle', 'placed')"
)
CHANGES = "SELECT order_id, before, after FROM order_changes ORDER BY order_id"
COUNTS = """
    SELECT (SELECT count(*) FROM orders WHERE status <> 'cancelled'),
           (SELECT count(*) FROM usage WHERE model = 'tool:update_order')
"""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, the local stand-in answers for the model."""
    for name in MODEL:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("offline")
async def test_each_order_is_changed_once_though_workers_are_killed_at_work(
    stack: Run, size: Size, direct_url: str
) -> None:
    kills = max(size.threads // 4, 3)
    names = [f"A-{n}" for n in range(1, size.threads + 1)]
    pace = Pace(batch_size=1, step_timeout=12.0, sweep_every=2.0)
    running = stack(config=PROJECT, workers=2, queue="memory", pace=pace, offline_latency=0.2)
    async with running as up, get_client(url=up.url) as client:
        threads = await asked(client, names, direct_url)
        killed = await kill_at_work(up, kills)
        answers = await ended(client, threads)
    changes, wrong, calls = found(direct_url)
    print(
        f"\n{len(names)} orders, {killed} SIGKILL at work: {len(changes)} changes by {calls} calls "
        "of the tool that are on record"
    )
    assert killed == kills
    assert all(f"{name} (kettle) is cancelled" in answers[n] for n, name in enumerate(names))
    assert changes == sorted((name, "placed", "cancelled") for name in names)
    assert wrong == 0


@pytest.mark.usefixtures("offline")
async def test_a_worker_killed_between_the_change_and_its_saving_changes_nothing_twice(
    stack: Run, tmp_path: Path, direct_url: str
) -> None:
    (tmp_path / "cuts").mkdir()
    env = {"BATON_TEST_CUT": "after the node's effect", "BATON_TEST_CUTS": str(tmp_path / "cuts")}
    handlers = {
        "step": "tests.faults.cutting.handler",  # dies the third time: route, think, use_tool
        "sweep": "functions.sweep.handler.handler",
    }
    pace = Pace(batch_size=1, step_timeout=12.0, sweep_every=2.0)
    running = stack(env, PROJECT, handlers=handlers, workers=1, queue="memory", pace=pace)
    async with running as up, get_client(url=up.url) as client:
        (answer,) = await ended(client, await asked(client, ["A-1"], direct_url))
    changes, wrong, calls = found(direct_url)
    assert (tmp_path / "cuts" / "died").exists()
    assert "A-1 (kettle) is cancelled" in answer
    assert (changes, wrong, calls) == ([("A-1", "placed", "cancelled")], 0, 1)


def found(direct_url: str) -> tuple[list[Any], int, int]:
    """Changes of orders, orders that are not cancelled, calls of the tool that were saved."""
    with psycopg.connect(direct_url) as connection:
        changes = connection.execute(CHANGES).fetchall()
        ((wrong, calls),) = connection.execute(COUNTS).fetchall()
    return changes, wrong, calls


async def asked(client: Any, names: Sequence[str], direct_url: str) -> list[str]:
    """Threads that each ask for an order to be cancelled."""
    with psycopg.connect(direct_url) as connection:
        connection.cursor().executemany(PLACE, [(name,) for name in names])
    threads = [str((await client.threads.create())["thread_id"]) for _ in names]
    for thread, name in zip(threads, names, strict=True):
        said = {"role": "user", "content": f"Cancel my order {name}, it is late."}
        await client.runs.create(thread, "chat", input={"messages": [said]})
    return threads


async def kill_at_work(up: Stack, kills: int) -> int:
    """Kill workers at random moments of a step."""
    killed, give_up = 0, time.monotonic() + PATIENCE
    while killed < kills and time.monotonic() < give_up:
        await asyncio.sleep(random.uniform(0.05, 0.5))
        busy = [w for w in up.workers if w.invocation and w.invocation.function == "step"]
        if busy:
            os.kill(random.choice(busy).pid, signal.SIGKILL)
            killed += 1
            await asyncio.sleep(random.uniform(1.0, 3.0))
    return killed


async def ended(client: Any, threads: Sequence[str]) -> list[str]:
    """What each was answered."""
    answers = []
    give_up = time.monotonic() + PATIENCE
    for thread in threads:
        while (await client.threads.get(thread))["status"] == "busy":
            assert time.monotonic() < give_up, "a run did not end"
            await asyncio.sleep(0.3)
        values: Any = (await client.threads.get_state(thread))["values"]
        answers.append(str(values["messages"][-1]["content"]))
    return answers
