"""The stack's workers: whoever is free takes the next invocation, whoever dies is replaced."""

import asyncio
from collections import deque
from typing import Any, Self

from infra.local.children import CannotStart, Children
from infra.local.workers import Invocation, Worker, WorkerSpec, start_worker

PAUSE = 1.0  # seconds before a worker that did not start is started again


class Pool:
    """A fixed number of workers."""

    def __init__(
        self, children: Children, spec: WorkerSpec, *, size: int, name: str = "worker"
    ) -> None:
        self.workers: list[Worker] = []
        self._children = children
        self._spec = spec
        self._names = [f"{name} {n + 1}" for n in range(size)]
        self._idle: deque[Worker] = deque()
        self._freed = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """All of them have started; raises CannotStart when one does not."""
        self.workers += await asyncio.gather(*(self._start(name) for name in self._names))
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in list(self.workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for worker in self.workers:
            worker.kill()
            worker.close()

    async def free(self) -> None:
        """Until a worker is idle."""
        while not self._living():
            self._freed.clear()
            await self._freed.wait()

    async def take(self) -> Worker:
        """An idle worker, the caller's until it is invoked."""
        await self.free()
        return self._idle.popleft()

    async def invoke(self, worker: Worker, invocation: Invocation) -> Any:
        """The answer of a taken worker, which is idle again then; raises InvocationFailed."""
        try:
            return await worker.invoke(invocation)
        finally:
            self._offer(worker)

    def _living(self) -> bool:
        while self._idle and not self._idle[0].alive:
            self._idle.popleft()
        return bool(self._idle)

    def _offer(self, worker: Worker) -> None:
        if worker.alive:
            self._idle.append(worker)
            self._freed.set()

    async def _start(self, name: str) -> Worker:
        return await start_worker(self._children, self._spec, name)

    async def _keep(self, worker: Worker) -> None:
        while True:
            self._offer(worker)
            how = await worker.child.wait()
            worker.close()
            self.workers.remove(worker)
            self._children.say(worker.name, f"process {worker.pid} ended ({how}), replacing it")
            worker = await self._replacement(worker.name)
            self.workers.append(worker)

    async def _replacement(self, name: str) -> Worker:
        while True:
            try:
                return await self._start(name)
            except CannotStart as error:
                self._children.say(name, str(error))
                await asyncio.sleep(PAUSE)
