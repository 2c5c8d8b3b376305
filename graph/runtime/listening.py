"""Following runs as they tell: one poller for all who listen, none when nobody does."""

import asyncio
from dataclasses import replace

from graph.errors import NotFound
from graph.runtime.heard import Heard
from graph.runtime.ports import EventStore

QUICKEST, SLOWEST = 0.01, 0.03  # seconds between two looks: a reader is never far behind
SLOWDOWN = 1.3
Waiting = asyncio.Future[Heard]


class Listener:
    """Looks for all readers of the process with one statement at a time."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self._waiting: dict[Waiting, tuple[str, int]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._pause = QUICKEST

    async def after(self, run_id: str, seq: int, *, within: float) -> Heard:
        """What the run told after event `seq`, or that it is over.

        Raises TimeoutError when it says nothing for `within` seconds, NotFound when it is deleted
        meanwhile, and Unavailable.
        """
        waiting: Waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = (run_id, seq)
        self._pause = QUICKEST
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(within):
                return await waiting
        finally:
            del self._waiting[waiting]

    async def _poll(self) -> None:
        """Until nobody waits; never cancelled, for that would break the statement's connection."""
        try:
            while self._waiting:
                asked = dict(self._waiting)
                first: dict[str, int] = {}
                for run_id, seq in asked.values():
                    first[run_id] = min(seq, first.get(run_id, seq))
                found = {heard.run_id: heard for heard in await self.store.heard(first)}
                for waiting, (run_id, seq) in asked.items():
                    if not waiting.done():
                        _tell(waiting, run_id, seq, found.get(run_id))
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * SLOWDOWN, SLOWEST)
        except Exception as error:  # whatever it is, those who wait must hear of it
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(error)


def _tell(waiting: Waiting, run_id: str, seq: int, heard: Heard | None) -> None:
    if heard is None:
        waiting.set_exception(NotFound(f"run {run_id} was deleted"))
        return
    new = tuple(event for event in heard.events if event.seq > seq)
    if new or heard.over:
        waiting.set_result(replace(heard, events=new))
