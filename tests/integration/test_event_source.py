"""The event source and real worker processes, with handlers that do as their messages say."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from graph.errors import Unavailable
from infra.local.children import CannotStart, Children, python_env
from infra.local.event_source import EventSource, Pace
from infra.local.ledger import Ledger, start_of
from infra.local.memory_queue import MemoryQueue
from infra.local.pool import Pool
from infra.local.queues import Message, Redrive
from infra.local.workers import Invocation, InvocationFailed, Worker, WorkerSpec, start_worker

HANDLERS = {"step": "tests.fixtures.handlers.step", "sweep": "tests.fixtures.handlers.sweep"}
PATIENCE = 20.0


class Heard:
    """What was said so far; waits for more."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._more = asyncio.Condition()

    def say(self, who: str, line: str) -> None:
        self.lines.append((who, line))
        self._task = asyncio.get_running_loop().create_task(self._tell())

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(enough)

    async def line(self, part: str) -> str:
        await self.until(lambda: bool(self._with(part)))
        return self._with(part)[0]

    async def calls(self, number: int, function: str = "baton-step") -> list[Any]:
        """The first reports of a function's handler."""
        await self.until(lambda: len(self._calls(function)) >= number)
        return self._calls(function)[:number]

    def _with(self, part: str) -> list[str]:
        return [line for _, line in self.lines if part in line]

    def _calls(self, function: str) -> list[Any]:
        reports = [json.loads(line) for _, line in self.lines if line.startswith("{")]
        return [report for report in reports if report["function"] == function]

    async def _tell(self) -> None:
        async with self._more:
            self._more.notify_all()


class Watched(MemoryQueue):
    """Tells what is deleted and released."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(Redrive(visibility=60))
        self.heard = heard
        self.fails_once = False

    async def receive(self, limit: int) -> list[Message]:
        if self.fails_once:
            self.fails_once = False
            raise Unavailable("the queue is out for lunch")
        return await super().receive(limit)

    async def delete(self, messages: Any) -> None:
        await super().delete(messages)
        for message in messages:
            self.heard.say("queue", f"deleted {message.body}")

    async def release(self, messages: Any, *, after: float) -> None:
        await super().release(messages, after=after)
        for message in messages:
            self.heard.say("queue", f"released {message.body} for {after:g} s")


class Bench:
    """A queue, an event source and its workers."""

    def __init__(self, children: Children, spec: WorkerSpec, heard: Heard) -> None:
        self.children, self.spec, self.heard = children, spec, heard
        self.queue = Watched(heard)

    @contextlib.asynccontextmanager
    async def running(self, pace: Pace, *, workers: int = 1) -> AsyncIterator[Pool]:
        async with Pool(self.children, self.spec, size=workers) as pool:
            events = EventSource(self.queue, pool, pace, self.heard.say)
            ringing = asyncio.create_task(events.run())
            yield pool
            ringing.cancel()
            await asyncio.gather(ringing, return_exceptions=True)
            await events.drain(seconds=0)

    def ring(self, *bodies: str) -> None:
        for body in bodies:
            self.queue.put(body, group="alice", delay=0)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    heard = Heard()
    async with Children(Ledger(tmp_path / "processes.json"), heard.say) as children:
        yield Bench(children, spec(HANDLERS, tmp_path), heard)


def spec(handlers: Mapping[str, str], folder: Path) -> WorkerSpec:
    return WorkerSpec(handlers, python_env(os.environ), folder)


async def test_a_handler_gets_the_batch_and_a_context_that_counts_down(bench: Bench) -> None:
    bench.ring("ok")
    async with bench.running(Pace(step_timeout=30)) as pool:
        (report,) = await bench.heard.calls(1)
        await bench.heard.line("deleted ok")
        pids = [worker.pid for worker in pool.workers]

    assert report["pid"] in pids
    assert report["what"]["eventSource"] == "aws:sqs"
    assert report["what"]["attributes"]["ApproximateReceiveCount"] == "1"
    assert report["arn"].endswith(":function:baton-step")
    assert report["memory"] == 512
    first, later = report["remaining"]
    assert 30_000 >= first > later > 20_000


async def test_only_the_failed_part_of_a_batch_comes_again(bench: Bench) -> None:
    bench.ring("ok", "fail:once", "ok")
    async with bench.running(Pace()):
        reports = await bench.heard.calls(4)

    assert [r["what"]["body"] for r in reports] == ["ok", "fail:once", "ok", "fail:once"]
    assert len({r["request_id"] for r in reports}) == 2
    assert reports[3]["what"]["attributes"]["ApproximateReceiveCount"] == "2"
    told = [line for who, line in bench.heard.lines if who == "queue"]
    assert told[:3] == ["deleted ok", "deleted ok", "released fail:once for 0.5 s"]


async def test_a_batch_is_no_larger_than_told(bench: Bench) -> None:
    bench.ring(*["ok"] * 5)
    async with bench.running(Pace(batch_size=2)):
        reports = await bench.heard.calls(5)

    requests = [report["request_id"] for report in reports]
    assert [requests.count(one) for one in dict.fromkeys(requests)] == [2, 2, 1]


async def test_a_handler_that_raises_fails_its_batch_and_the_worker_goes_on(bench: Bench) -> None:
    bench.ring("raise:once")
    async with bench.running(Pace()):
        first, second = await bench.heard.calls(2)
        await bench.heard.line("ValueError: as told")
        await bench.heard.line("deleted raise:once")

    assert first["pid"] == second["pid"]


async def test_a_worker_that_takes_too_long_is_killed_and_replaced(bench: Bench) -> None:
    bench.ring("hang:once")
    async with bench.running(Pace(step_timeout=0.5)) as pool:
        first, second = await bench.heard.calls(2)
        await bench.heard.line("timed out after 0.5 s")
        await bench.heard.line("deleted hang:once")
        alive = [worker.pid for worker in pool.workers]

    assert first["pid"] != second["pid"]
    assert alive == [second["pid"]]
    assert start_of(first["pid"]) is None


async def test_a_worker_that_dies_is_replaced_and_its_message_comes_again(bench: Bench) -> None:
    bench.ring("die:once")
    async with bench.running(Pace()):
        first, second = await bench.heard.calls(2)
        await bench.heard.line(f"process {first['pid']} ended (exit status 7)")

    assert first["pid"] != second["pid"]


async def test_an_idle_worker_that_is_killed_is_replaced(bench: Bench) -> None:
    async with bench.running(Pace()) as pool:
        (victim,) = pool.workers
        os.kill(victim.pid, signal.SIGKILL)
        await bench.heard.line(f"process {victim.pid} ended (SIGKILL)")
        bench.ring("ok")
        (report,) = await bench.heard.calls(1)

    assert report["pid"] != victim.pid


async def test_workers_work_at_the_same_time_and_show_what_they_do(bench: Bench) -> None:
    bench.ring("hang", "hang")
    async with bench.running(Pace(batch_size=1), workers=2) as pool:
        reports = await bench.heard.calls(2)
        doing = {w.pid: w.invocation.request_id for w in pool.workers if w.invocation}

    assert doing == {report["pid"]: report["request_id"] for report in reports}


async def test_messages_wait_while_all_workers_are_busy(bench: Bench) -> None:
    async with bench.running(Pace(batch_size=1)) as pool:
        bench.ring("hang", "ok")
        await bench.heard.calls(1)
        (busy,) = pool.workers
        assert busy.invocation is not None
        (waiting,) = await bench.queue.receive(10)

    assert waiting.body == "ok"


async def test_the_clock_sweeps_at_the_start_and_then_at_its_pace(bench: Bench) -> None:
    async with bench.running(Pace(sweep_every=0.05)):
        reports = await bench.heard.calls(3, "baton-sweep")

    assert {report["what"]["source"] for report in reports} == {"aws.events"}
    assert len({report["request_id"] for report in reports}) == 3


async def test_a_queue_that_does_not_answer_is_asked_again(bench: Bench) -> None:
    bench.queue.fails_once = True
    bench.ring("ok")
    async with bench.running(Pace()):
        await bench.heard.line("out for lunch")
        await bench.heard.line("deleted ok")


async def test_a_handler_that_does_not_import_is_told_in_one_line(tmp_path: Path) -> None:
    heard = Heard()
    broken = spec({"step": "tests.fixtures.no_such_module.step"}, tmp_path)
    async with Children(Ledger(tmp_path / "processes.json"), heard.say) as children:
        with pytest.raises(CannotStart, match=r"worker 1 does not start.*no_such_module"):
            async with Pool(children, broken, size=1):
                pass


async def test_an_answer_that_is_not_json_is_a_failure(tmp_path: Path) -> None:
    handlers = {"step": "tests.fixtures.handlers.not_json"}
    async with one_worker(handlers, tmp_path) as worker:
        with pytest.raises(InvocationFailed, match="not JSON serializable"):
            await worker.invoke(Invocation("step", {}, timeout=10))


async def test_leaving_ends_every_process_and_empties_the_ledger(tmp_path: Path) -> None:
    async with one_worker(HANDLERS, tmp_path) as worker:
        assert start_of(worker.pid) is not None
        assert str(worker.pid) in (tmp_path / "processes.json").read_text()

    assert start_of(worker.pid) is None
    assert (tmp_path / "processes.json").read_text() == "[]"


@contextlib.asynccontextmanager
async def one_worker(handlers: Mapping[str, str], folder: Path) -> AsyncIterator[Worker]:
    async with Children(Ledger(folder / "processes.json"), Heard().say) as children:
        worker = await start_worker(children, spec(handlers, folder), "worker 1")
        yield worker
        worker.kill()
        worker.close()
