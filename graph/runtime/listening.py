"""Following runs as they tell: told by this process, or by one poller for all who listen."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from graph.errors import NotFound
from graph.runtime.feed import Feed
from graph.runtime.heard import Heard
from graph.runtime.models import RunStatus
from graph.runtime.ports import EventStore

QUICKEST, SLOWEST = 0.01, 0.03  # seconds between two looks: a reader is never far behind
SLOWDOWN = 1.3
REST = 3  # times what a look took: however many follow, looking leaves the process to others
FED = 0.5  # seconds between looks while all who listen are told by this process
Waiting = asyncio.Future[Heard]


class Listener:
    """Looks for all readers of the process with one statement at a time."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self._waiting: dict[Waiting, tuple[str, int]] = {}
        self._feeds: dict[str, Feed] = {}
        self._poller: asyncio.Task[None] | None = None
        self._pause = QUICKEST
        self._hurry = asyncio.Event()

    async def after(self, run_id: str, seq: int, *, within: float) -> Heard:
        """What the run told after event `seq`, or that it is over.

        Raises TimeoutError when it says nothing for `within` seconds, NotFound when it is deleted
        meanwhile, and Unavailable.
        """
        if told := self._told(run_id, seq):
            return told
        waiting: Waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = (run_id, seq)
        self._pause = QUICKEST
        if not self._is_fed(run_id, seq):
            self._hurry.set()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(within):
                return await waiting
        finally:
            del self._waiting[waiting]

    @contextmanager
    def feeding(self, run_id: str) -> Iterator[Feed]:
        """The run is stepped in this process while the block lasts."""
        feed = self._feeds[run_id] = Feed(lambda: self._tell_fed(run_id))
        try:
            yield feed
        finally:
            del self._feeds[run_id]
            self._hurry.set()

    def _told(self, run_id: str, seq: int) -> Heard | None:
        feed = self._feeds.get(run_id)
        new = feed.after(seq) if feed else ()
        if not new:
            return None
        return Heard(run_id, RunStatus.RUNNING, None, None, last=new[-1].seq, events=new)

    def _tell_fed(self, run_id: str) -> None:
        for waiting, (asked, seq) in self._waiting.items():
            if asked == run_id and not waiting.done() and (told := self._told(run_id, seq)):
                waiting.set_result(told)

    def _is_fed(self, run_id: str, seq: int) -> bool:
        return run_id in self._feeds and self._feeds[run_id].reaches(seq)

    async def _poll(self) -> None:
        """Until nobody waits; never cancelled, for that would break the statement's connection."""
        try:
            while self._waiting:
                asked = dict(self._waiting)
                first: dict[str, int] = {}
                for run_id, seq in asked.values():
                    first[run_id] = min(seq, first.get(run_id, seq))
                began = time.monotonic()
                found = {heard.run_id: heard for heard in await self.store.heard(first)}
                for waiting, (run_id, seq) in asked.items():
                    if not waiting.done():
                        _tell(waiting, run_id, seq, found.get(run_id))
                await self._rest(time.monotonic() - began)
        except Exception as error:  # whatever it is, those who wait must hear of it
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(error)

    async def _rest(self, took: float) -> None:
        """Until the next look, which may be soon for those whose runs are stepped elsewhere."""
        self._hurry.clear()
        if all(self._is_fed(*asked) for asked in self._waiting.values()):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), FED)
            return
        await asyncio.sleep(max(self._pause, REST * took))
        self._pause = min(self._pause * SLOWDOWN, SLOWEST)


def _tell(waiting: Waiting, run_id: str, seq: int, heard: Heard | None) -> None:
    if heard is None:
        waiting.set_exception(NotFound(f"run {run_id} was deleted"))
        return
    new = tuple(event for event in heard.events if event.seq > seq)
    if new or heard.over:
        waiting.set_result(replace(heard, events=new))
