"""Waiting for runs to end: one poller for all who wait, none when nobody does."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from graph.errors import NotFound
from graph.runtime.models import Run
from graph.runtime.ports import RunStore

QUICKEST, SLOWEST = 0.01, 0.1  # seconds between two looks
SLOWDOWN = 1.3
SELDOM = 0.5  # between two looks at runs that are stepped in this process


class Follower:
    """Looks at all runs that anybody waits for with one statement at a time.

    The looks grow rarer while nothing changes. A run that is stepped here is looked at when its
    stepping is over, and seldom before, for others may end it too.
    """

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self._waiting: dict[str, set[asyncio.Future[Run]]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._pause = QUICKEST
        self._here: set[str] = set()  # runs that this process steps
        self._hurry = asyncio.Event()
        self._looked_at_all = 0.0

    def stepped_by(self, task: "asyncio.Task[Any]", run_id: str) -> None:
        """The run does not end before this task does, unless somebody else ends it."""

        def over(_: "asyncio.Task[Any]") -> None:
            self._here.discard(run_id)
            self._look_soon()

        self._here.add(run_id)
        task.add_done_callback(over)

    async def end_of(self, run_id: str, *, within: float | None = None) -> Run:
        """The run, once it has ended.

        Raises NotFound when it is deleted meanwhile, TimeoutError after `within` seconds, and
        Unavailable.
        """
        ending: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run_id, set()).add(ending)
        if run_id not in self._here:
            self._look_soon()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(within):
                return await ending
        finally:
            self._leave(run_id, ending)

    def _look_soon(self) -> None:
        self._pause = QUICKEST
        self._hurry.set()

    def _leave(self, run_id: str, ending: asyncio.Future[Run]) -> None:
        left = self._waiting[run_id]
        left.discard(ending)
        if not left:
            del self._waiting[run_id]
        if not self._waiting:
            self._hurry.set()  # the poller may go

    async def _poll(self) -> None:
        """Until nobody waits; never cancelled, for that would break the statement's connection."""
        states: dict[str, str] = {}
        try:
            while self._waiting:
                self._hurry.clear()
                if asked := self._due():
                    found = await self.store.runs_by_id(asked)
                    self._tell(asked, found)
                    before, states = states, {run.run_id: run.status for run in found}
                    self._pause = QUICKEST if states != before else self._pause * SLOWDOWN
                    self._pause = min(self._pause, SLOWEST)
                await self._rest(self._pause if asked else SELDOM)
        except Exception as error:  # whatever it is, those who wait must hear of it
            for ending in [e for endings in self._waiting.values() for e in endings]:
                if not ending.done():
                    ending.set_exception(error)

    def _due(self) -> list[str]:
        """Those to look at now: all but the runs stepped here, and now and then these too."""
        now = time.monotonic()
        if now - self._looked_at_all >= SELDOM:
            self._looked_at_all = now
            return list(self._waiting)
        return [run_id for run_id in self._waiting if run_id not in self._here]

    async def _rest(self, seconds: float) -> None:
        """Until the next look, which may come sooner but never at once."""
        await asyncio.sleep(QUICKEST)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds - QUICKEST)

    def _tell(self, asked: Sequence[str], found: Sequence[Run]) -> None:
        by_id = {run.run_id: run for run in found}
        for run_id in asked:
            run = by_id.get(run_id)
            for ending in self._waiting.get(run_id, ()):
                if ending.done():
                    continue
                if run is None:
                    ending.set_exception(NotFound(f"run {run_id} was deleted"))
                elif run.status.ended:
                    ending.set_result(run)
