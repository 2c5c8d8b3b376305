"""Processes are killed and frozen; nothing is lost, nothing is done twice."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from infra.local.event_source import Pace
from infra.local.queues import Message, Source
from infra.local.stack import Stack
from tests.faults.audit import Audit, Findings
from tests.faults.conftest import Run, Size

pytestmark = pytest.mark.fault

STEP_TIMEOUT = 3.0
PATIENCE = 240.0  # seconds until runs that have not ended count as lost
CUTS = ["before claim", "after claim", "after the node's effect", "after save", "after send"]


@pytest.mark.parametrize("inline", [1, 3])
async def test_workers_killed_and_frozen_at_random(
    stack: Run, audit: Audit, size: Size, inline: int
) -> None:
    pace = Pace(batch_size=2, step_timeout=STEP_TIMEOUT, sweep_every=5.0)
    env = {"BATON_STEPS_PER_INVOCATION": str(inline)}
    async with stack(env=env, workers=4, queue="memory", pace=pace) as up:
        thread_ids = await create_runs(up, size.threads)
        done = Chaos()
        chaos = asyncio.create_task(done.rage(up))
        await all_ended(up, thread_ids)
        chaos.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await chaos
    what = f"{size.threads} threads x 8 steps, {inline} a time, {done}"
    report(what, found := audit.findings(thread_ids))
    assert done.kills > 0
    assert found.faults == 0


def killings() -> Iterator[tuple[str, str, int, int]]:
    """Where, on which queue, with how many steps an invocation, and the how many-th time there."""
    for cut in CUTS:
        yield cut, "memory", 1, 3
        yield cut, "sqs", 1, 3
        yield cut, "memory", 3, 3
        if cut not in ("before claim", "after send"):  # an invocation comes there once
            yield from ((cut, "memory", 8, number) for number in (2, 5))


@pytest.mark.parametrize(("cut", "queue", "inline", "at_pass"), [*killings()])
async def test_a_worker_killed_at_a_named_point(
    stack: Run, audit: Audit, tmp_path: Path, cut: str, queue: str, inline: int, at_pass: int
) -> None:
    cuts = tmp_path / "cuts"
    cuts.mkdir()
    env = {
        "BATON_TEST_CUT": cut,
        "BATON_TEST_CUTS": str(cuts),
        "BATON_TEST_CUT_PASS": str(at_pass),
        "BATON_STEPS_PER_INVOCATION": str(inline),
    }
    handlers = {
        "step": "tests.faults.cutting.handler",
        "sweep": "functions.sweep.handler.handler",
    }
    pace = Pace(batch_size=1, step_timeout=STEP_TIMEOUT, sweep_every=5.0)
    async with stack(env=env, handlers=handlers, workers=2, queue=queue, pace=pace) as up:
        thread_ids = await create_runs(up, 1)
        await all_ended(up, thread_ids)
    assert (cuts / "died").exists()
    report(f"killed {cut}, {queue} queue, {inline} a time", found := audit.findings(thread_ids))
    assert found.faults == 0
    assert found.effects_repeated == (cut == "after the node's effect")


async def test_the_api_killed_with_clients_on_its_lines(
    stack: Run, audit: Audit, size: Size
) -> None:
    pace = Pace(batch_size=2, step_timeout=10.0, sweep_every=3600.0)  # the guards alone must do
    options = {"workers": 2, "queue": "memory", "pace": pace}
    async with stack(env={"BATON_LINE_STEP_SECONDS": "2"}, **options) as up:
        async with get_client(url=up.url) as client:
            thread_ids = [(await client.threads.create())["thread_id"] for _ in range(size.threads)]
            waits = (client.runs.wait(each, "chain", input={"log": []}) for each in thread_ids)
            waiting = asyncio.gather(*waits, return_exceptions=True)
            async with asyncio.timeout(PATIENCE):
                workers = {worker.pid for worker in up.workers}
                while not (api := audit.at_work() - workers):  # what it does not take they do
                    await asyncio.sleep(0.01)
            send(api.pop(), signal.SIGKILL)
            await waiting
        await all_ended(up, thread_ids)
    report(f"the API killed, {size.threads} lines", found := audit.findings(thread_ids))
    assert found.faults == 0
    assert len(audit.at_work()) > 1


async def test_every_message_delivered_twice_and_to_two_workers_at_once(
    stack: Run, audit: Audit, size: Size
) -> None:
    pace = Pace(batch_size=1, step_timeout=10.0, sweep_every=5.0)
    options = {"workers": 4, "queue": "memory", "pace": pace, "wrap": Doubled}
    async with stack(**options) as up:
        thread_ids = await create_runs(up, size.threads)
        await all_ended(up, thread_ids)
    report(f"every message twice, {size.threads} threads", found := audit.findings(thread_ids))
    assert found.faults == 0
    assert found.effects_repeated == 0


async def create_runs(up: Stack, threads: int) -> list[str]:
    async with get_client(url=up.url) as client:
        made = [(await client.threads.create())["thread_id"] for _ in range(threads)]
        for thread_id in made:
            await client.runs.create(thread_id, "chain", input={"log": []})
    return made


async def all_ended(up: Stack, thread_ids: Sequence[str]) -> None:
    give_up = time.monotonic() + PATIENCE
    left = list(thread_ids)
    async with get_client(url=up.url) as client:
        while left and time.monotonic() < give_up:
            threads = [await client.threads.get(thread_id) for thread_id in left]
            left = [thread["thread_id"] for thread in threads if thread["status"] == "busy"]
            await asyncio.sleep(0.3)
        for thread_id in set(thread_ids) - set(left):
            state: Any = await client.threads.get_state(thread_id)
            assert state["values"]["log"] == list(range(8))


class Chaos:
    """Kills and freezes workers at random moments."""

    def __init__(self) -> None:
        self.kills = self.freezes = 0

    def __str__(self) -> str:
        return f"{self.kills} SIGKILL, {self.freezes} SIGSTOP/SIGCONT"

    async def rage(self, up: Stack) -> None:
        frozen: set[asyncio.Task[None]] = set()
        try:
            while True:
                await asyncio.sleep(random.uniform(0.2, 1.0))
                if not (workers := up.workers):
                    continue
                pid = random.choice(workers).pid
                if not self.kills or random.random() < 0.7:
                    self.kills += 1
                    send(pid, signal.SIGKILL)
                else:
                    self.freezes += 1
                    frozen.add(asyncio.create_task(freeze(pid, random.uniform(0.2, 5.0))))
        finally:
            await asyncio.gather(*frozen)


async def freeze(pid: int, seconds: float) -> None:
    send(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        send(pid, signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Doubled:
    """Hands every message out twice, the second time at once, and once more as redelivered."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.again: list[Message] = []

    @property
    def arn(self) -> str:
        return self.source.arn

    async def receive(self, limit: int) -> list[Message]:
        if self.again:
            return [self.again.pop()]
        messages = await self.source.receive(limit)
        self.again.extend(messages)
        return messages

    async def delete(self, messages: Sequence[Message]) -> None:
        await self.source.delete(messages)

    async def release(self, messages: Sequence[Message], *, after: float) -> None:
        await self.source.release(messages, after=after)


def report(what: str, found: Findings) -> None:
    print(f"\n{what}\n{found}")
