"""Many connections on one thread of the local stack, a tenth of them dead."""

import asyncio
import contextlib
import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from graph.adapters.postgres import PostgresStore
from graph.adapters.queues import NotifyQueue, queue_of
from graph.adapters.socket_queue import SocketQueue
from graph.runtime.models import Ending, Event, Notice, StepJob, StepResult, Topic
from graph.runtime.runs import new_thread
from tests.contracts.builders import a_run, take
from tests.integration.test_stack import stack_on

EVERYBODY = "default"
STEPS, EACH = 100, 2
AFTER = 0.02  # seconds between two steps
PATIENCE = 120.0


def take_steps(database_url: str, notices_url: str, thread_ids: list[str]) -> list[list[float]]:
    """A process that steps threads in turns, each STEPS times; what each step took in seconds.

    A step is what a worker does around the node: claim, save with its events. Then it rings.
    """

    async def steps() -> list[list[float]]:
        store = PostgresStore(database_url, prepares=True)
        queue = queue_of(notices_url)
        assert isinstance(queue, SocketQueue)
        notices = NotifyQueue(queue)
        took: list[list[float]] = [[] for _ in thread_ids]
        for thread_id in thread_ids:
            await store.create_run(a_run(thread_id, owner=EVERYBODY))
        for n in range(STEPS):
            for mine, thread_id in zip(took, thread_ids, strict=True):
                mine.append(await step(store, notices, StepJob(thread_id, n)))
                await asyncio.sleep(AFTER)
        await store.close()
        queue.close()
        return took

    return asyncio.run(steps())


async def step(store: PostgresStore, notices: NotifyQueue, job: StepJob) -> float:
    events = tuple(Event("custom", b"%d" % n) for n in range(EACH))
    began = time.perf_counter()
    claim = await take(store, job)
    advanced = await store.advance(claim, StepResult(Ending.MORE, events=events))
    took = time.perf_counter() - began
    if advanced.watched:  # beside the hand-over, as in graph.runtime.step
        await notices.send(Notice(Topic.THREAD, job.thread_id), owner=EVERYBODY)
    return took


async def hear(line: ClientConnection) -> list[int]:
    """Numbers of events until all are there; one that is pushed again counts once."""
    heard: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(set(heard)) < STEPS * EACH:
            heard += [frame["seq"] for frame in json.loads(await line.recv())["frames"]]
    return heard


async def test_every_live_one_has_every_event_in_order_and_no_step_waits_for_them(
    open_folder: Path, request: pytest.FixtureRequest
) -> None:
    """With --full 500 of them, and figures that mean something: they are printed."""
    live, dead = (450, 50) if request.config.getoption("--full") else (27, 3)
    async with contextlib.AsyncExitStack() as parts:
        stack = await parts.enter_async_context(stack_on(open_folder))
        store = PostgresStore(stack.database_url)
        parts.push_async_callback(store.close)
        made = [new_thread(a_run("").run_id, EVERYBODY) for _ in range(3)]
        quiet_id, watched, beside = [
            (await store.create_thread(thread, if_exists="raise")).thread_id for thread in made
        ]
        process = parts.enter_context(
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        )

        async def stepped(*thread_ids: str) -> list[list[float]]:
            given = (stack.database_url, stack.notices_url, list(thread_ids))
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(process, take_steps, *given)

        async def join() -> ClientConnection:
            line = await connect(stack.websocket_url, ping_interval=None, max_queue=1)
            parts.callback(line.transport.abort)
            params = {"thread_id": watched}
            asked = {"id": 1, "method": "subscription.subscribe", "params": params}
            await line.send(json.dumps(asked))
            assert json.loads(await line.recv())["type"] == "success"
            return line

        (quiet,) = await stepped(quiet_id)
        listening = [await join() for _ in range(live)]
        for n in range(dead):
            transport = (await join()).transport
            if n % 2:
                transport.abort()  # gone without a word
            else:
                transport.pause_reading()  # there, and deaf
        hearing = [asyncio.create_task(hear(line)) for line in listening]
        with_them, next_to_them = await stepped(watched, beside)
        began = time.perf_counter()
        heard = await asyncio.gather(*hearing)
        late = time.perf_counter() - began
    wanted = list(range(1, STEPS * EACH + 1))
    assert all(list(dict.fromkeys(one)) == wanted for one in heard)
    doubled = sum(len(one) - len(wanted) for one in heard)
    a, b, c = (statistics.median(took) * 1000 for took in (quiet, with_them, next_to_them))
    print(
        f"\n{live} live and {dead} dead on one thread, {STEPS} steps x {EACH} events: every live "
        f"one has all {len(wanted)} in order, {doubled} came twice, the last {late:.1f} s after "
        f"the last step. Step median {b:.2f} ms on it, {c:.2f} ms at the same time on a "
        f"thread that nobody follows (x {b / c:.3f}), {a:.2f} ms before anybody came"
    )
