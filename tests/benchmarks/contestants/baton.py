"""Baton's step function in one process: its own wiring, a queue in memory, no HTTP."""

import asyncio
import sys
import time
import uuid
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from functions import wiring
from functions.step.handler import step_records
from graph.adapters.migrations import migrate
from graph.runtime.jobs import encode
from graph.runtime.models import NewRun, StepJob, Thread, ThreadStatus
from graph.runtime.step import step
from graph.runtime.warm import WarmThreads
from infra.local.events import sqs_event
from infra.local.queues import Message
from infra.local.worker import Context
from tests.benchmarks.contestants.answering import answer
from tests.benchmarks.project.workloads import W1_INPUT, messages

OWNER = "benchmark"
BATCH = 10
TIME_LEFT = 60.0
FOREVER = {"recursion_limit": 1_000_000}
ARN = "arn:aws:sqs:us-east-1:000000000000:baton-steps"


class LocalQueue:
    """A doorbell that rings in this process alone."""

    def __init__(self) -> None:
        self.jobs: deque[StepJob] = deque()

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        self.jobs.append(job)


class Baton:
    """A worker's process."""

    def __init__(self) -> None:
        self._queue = LocalQueue()
        self._rt = replace(wiring.runtime(), queue=self._queue)
        self._next: dict[str, StepJob] = {}

    def setup(self) -> None:
        self._do(migrate(wiring.migration_url()))

    def converse(self, thread: str, number: int) -> None:
        """Start a conversation with that many messages."""
        self._do(self._ask(thread, "chat", {"messages": messages(number)}, config=FOREVER))
        self._next[thread] = self._queue.jobs.popleft()
        self.steps(thread, 1)

    def steps(
        self, thread: str, number: int, cold: bool = False, session: bool = False
    ) -> list[float]:
        """Milliseconds of each of the next steps of a conversation.

        A cold one finds nothing of its thread; one with a new `session` is the first on an open
        connection.
        """
        return [self._timed(thread, cold=cold, session=session) for _ in range(number)]

    def prepare(self, graph: str, number: int) -> None:
        """New threads, each with a run that waits in the queue."""
        given = W1_INPUT if graph == "w1" else {}
        for _ in range(number):
            self._do(self._ask(str(uuid.uuid4()), graph, given))

    def drain(self) -> int:
        """Hand the queue to the handler, ten records at a time; how many records there were."""
        taken = 0
        while self._queue.jobs:
            jobs = [self._queue.jobs.popleft() for _ in range(min(BATCH, len(self._queue.jobs)))]
            context: Any = Context(str(uuid.uuid4()), "baton-step", time.time() + TIME_LEFT)
            answered = step_records(_event(jobs), context, self._rt)
            if answered["batchItemFailures"]:
                raise RuntimeError(f"records failed: {answered}")
            taken += len(jobs)
        return taken

    def _do(self, work: Any) -> Any:
        return wiring.loop().run_until_complete(work)

    def _timed(self, thread: str, *, cold: bool, session: bool) -> float:
        rt = replace(self._rt, warm=WarmThreads()) if cold else self._rt
        if session:
            self._do(wiring.store().close())
            self._do(rt.store.runs_by_id([]))  # connects
        at = time.perf_counter()
        ended = self._do(step(self._next[thread], rt, time_left=TIME_LEFT))
        took = (time.perf_counter() - at) * 1000
        if ended != "more":
            raise RuntimeError(f"the conversation ended: {ended}")
        self._next[thread] = self._queue.jobs.popleft()
        return took

    async def _ask(self, thread: str, graph: str, given: Any, **kwargs: Any) -> None:
        now, store = datetime.now(UTC), self._rt.store
        await store.create_thread(Thread(thread, OWNER, ThreadStatus.IDLE, now, now))
        asked = {"input": given, **kwargs}
        new = NewRun(str(uuid.uuid4()), thread, OWNER, graph, graph, asked)
        created = await store.create_run(new)
        assert created.job is not None, "an idle thread's run is active at once"
        await self._queue.send(created.job, owner=OWNER)


def _event(jobs: list[StepJob]) -> Any:
    now = time.time()
    return sqs_event(
        [
            Message(str(uuid.uuid4()), str(uuid.uuid4()), encode(job), OWNER, 1, now, now)
            for job in jobs
        ],
        ARN,
    )


if __name__ == "__main__":
    asyncio.set_event_loop(wiring.loop())
    baton = Baton()
    answer(
        {
            "setup": baton.setup,
            "converse": baton.converse,
            "steps": baton.steps,
            "prepare": baton.prepare,
            "drain": baton.drain,
        }
    )
    sys.exit()
