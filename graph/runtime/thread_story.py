"""What all of a thread's runs tell, those that come later too, for one reader."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from graph.errors import BadInput, NotFound
from graph.runtime.batches import Item, in_order
from graph.runtime.engine import Runtime
from graph.runtime.models import NEVER, News, RunEnd, Thread

QUICKEST, SLOWEST = 0.02, 0.3  # seconds between two looks
SLOWDOWN = 1.5
HEARTBEAT = 5.0  # seconds without an event
PAGE = 500
LATEST = 2**62  # above every number
LONGEST = 40  # characters of a place
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reader came: the last event, and the last end of a run, that it has.

    As text `<event>-<end>`, the end in microseconds since 1970: an event's id in such a stream.
    """

    seq: int = 0
    ended_after: datetime = NEVER

    def __str__(self) -> str:
        return f"{self.seq}-{(self.ended_after - NEVER) // timedelta(microseconds=1)}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises BadInput."""
        seq, _, ended = text.partition("-")
        if not (text.isascii() and seq.isdecimal() and ended.isdecimal() and len(text) < LONGEST):
            raise BadInput(f"Last-Event-ID: {text!r} is not the id of an event in this stream")
        try:
            place = cls(int(seq), NEVER + timedelta(microseconds=int(ended)))
        except OverflowError as error:
            raise BadInput(f"Last-Event-ID: {text!r} is not the id of an event") from error
        if place.seq > LATEST:
            raise BadInput(f"Last-Event-ID: {text!r} is not the id of an event in this stream")
        return place

    def past(self, item: Item) -> "Place":
        if isinstance(item, RunEnd):
            return replace(self, ended_after=max(self.ended_after, item.ended_at.astimezone(UTC)))
        return replace(self, seq=item[1].seq)


async def unfinished(rt: Runtime, thread_id: str, *, recent: float = 0.0) -> Place:
    """Where the runs begin that have not ended, or not more than `recent` seconds ago."""
    ends = (await _news(rt, thread_id, Place(LATEST))).ends
    before = datetime.now(UTC) - timedelta(seconds=recent)
    times = [end.ended_at for end in ends if not recent or end.ended_at < before]
    return Place(ended_after=max(times, default=NEVER))


async def place_after(rt: Runtime, thread: Thread, seq: int) -> Place:
    """Where a reader stands that has this event: ends of runs that told later ones are to come.

    So is the end of the run that told it, as long as no other has begun.
    """
    news = await _news(rt, thread.thread_id, Place(max(seq - 1, 0)))
    open_runs = {run_id for run_id, event in news.events if event.seq > seq}
    if not open_runs and thread.active_run_id is None:
        open_runs = {run_id for run_id, _ in news.events}
    to_come = [end.ended_at for end in news.ends if end.run_id in open_runs]
    first = min(to_come, default=None)
    told = [end.ended_at for end in news.ends if first is None or end.ended_at < first]
    return Place(seq, max(told, default=NEVER))


async def newest(rt: Runtime, thread_id: str) -> int:
    """The number of the thread's newest event; 0 for a thread that is not there."""
    upto = (await _news(rt, thread_id, Place(LATEST))).upto
    return 0 if upto == LATEST else upto


async def thread_told(
    rt: Runtime,
    thread_id: str,
    owner: str,
    place: Place,
    *,
    until: float | None = None,
    beat: float = HEARTBEAT,
) -> AsyncIterator[tuple[Item | None, Place]]:
    """Events and ends of runs in order, each with the reader's place after it.

    None when nothing came for `beat` seconds. Ends when the thread is deleted, or at `until`.
    """
    pause, spoke = QUICKEST, time.monotonic()
    while until is None or time.monotonic() < until:
        news = await _news(rt, thread_id, place)
        for item in in_order(news):
            place = place.past(item)
            yield item, place
        if news.events or news.ends:
            pause, spoke = QUICKEST, time.monotonic()
            continue
        if time.monotonic() - spoke >= beat:
            try:
                await whole(rt.store.get_thread(thread_id, owner))
            except NotFound:
                return
            yield None, place
            spoke = time.monotonic()
        await asyncio.sleep(pause)
        pause = min(pause * SLOWDOWN, SLOWEST)


async def _news(rt: Runtime, thread_id: str, place: Place) -> News:
    news = rt.store.thread_news(
        thread_id, after=place.seq, ended_after=place.ended_after, limit=PAGE
    )
    return await whole(news)


async def whole(statement: Coroutine[Any, Any, Found]) -> Found:
    """What it finds. A reader that leaves does not break it off, and with it the connection."""
    return await asyncio.shield(asyncio.create_task(statement))
