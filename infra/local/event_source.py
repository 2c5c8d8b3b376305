"""What rings: the queue and the clock, as Lambda's event source mapping and EventBridge do it."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from graph.errors import Unavailable
from infra.local.children import Say
from infra.local.events import failed_of, scheduled_event, sqs_event
from infra.local.pool import Pool
from infra.local.queues import Message, Source, back_off
from infra.local.workers import Invocation, InvocationFailed, Worker

PAUSE = 1.0  # seconds before a queue that did not answer is asked again
SWEEP_TIMEOUT = 55.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How the queue's messages are handed on, and how often the clock ticks."""

    batch_size: int = 10
    step_timeout: float = 60.0
    sweep_every: float = 60.0


class EventSource:
    """Hands messages and ticks to free workers until it is stopped."""

    def __init__(
        self, source: Source, pool: Pool, pace: Pace, say: Say, *, function: str = "step"
    ) -> None:
        self._function = function
        self._source = source
        self._pool = pool
        self._pace = pace
        self._say = say
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, *, sweeps: bool = True) -> None:
        """Raises what should never happen."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            if sweeps:
                group.create_task(self._tick())

    async def drain(self, *, seconds: float) -> None:
        """Let invocations end that are under way, but not for long."""
        running = set(self._running)
        if running:
            await asyncio.wait(running, timeout=seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            await self._pool.free()
            if not (messages := await self._receive()):
                continue
            worker = await self._pool.take()
            task = asyncio.create_task(self._hand_over(worker, messages))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _receive(self) -> list[Message]:
        try:
            return await self._source.receive(self._pace.batch_size)
        except Unavailable as error:
            self._say("queue", str(error))
            await asyncio.sleep(PAUSE)
            return []

    async def _hand_over(self, worker: Worker, messages: Sequence[Message]) -> None:
        event = sqs_event(messages, self._source.arn)
        failed = list(messages)
        try:
            failed = failed_of(await self._invoke(worker, self._function, event), messages)
        except InvocationFailed as failure:
            how = f"{self._function} failed, its messages come again"
            self._say(worker.name, f"{how}: {failure}")
        try:
            await self._settle(messages, failed)
        except Unavailable as error:  # they come again when their visibility timeout is over
            self._say("queue", str(error))

    async def _invoke(self, worker: Worker, function: str, event: Any) -> Any:
        timeout = SWEEP_TIMEOUT if function == "sweep" else self._pace.step_timeout
        return await self._pool.invoke(worker, Invocation(function, event, timeout))

    async def _settle(self, messages: Sequence[Message], failed: Sequence[Message]) -> None:
        done = [message for message in messages if message not in failed]
        if done:
            await self._source.delete(done)
        rests: dict[float, list[Message]] = defaultdict(list)
        for message in failed:
            rests[back_off(message.receive_count)].append(message)
        for after, resting in rests.items():
            await self._source.release(resting, after=after)

    async def _tick(self) -> None:
        region = self._source.arn.split(":")[3]
        while True:
            worker = await self._pool.take()
            try:
                await self._invoke(worker, "sweep", scheduled_event(datetime.now(UTC), region))
            except InvocationFailed as failure:
                self._say(worker.name, f"sweep failed: {failure}")
            await asyncio.sleep(self._pace.sweep_every)
