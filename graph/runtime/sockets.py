"""Connections told what their threads' runs tell: in order, each event once.

A connection is pushed to by one invocation at a time, which has taken its row. What a push that
died may have delivered is delivered again, with the same numbers.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from graph.errors import Gone, Undelivered
from graph.runtime.batches import Batch, Item, batches, heard_by, in_order
from graph.runtime.engine import Runtime
from graph.runtime.models import News, Notice, RunEnd, Subscription, Topic
from graph.runtime.notices import ring_outside
from graph.runtime.ports import Gateway

log = logging.getLogger("baton.sockets")

LEASE = 20.0  # seconds that a connection is somebody's; more than its pushes can take
GATHER = 0.05  # seconds of events, at least, that later messages are made of
SLOW = 0.5  # seconds between looks for more while only slow ones are waited for
CONNECTIONS, EVENTS = 100, 500  # taken and read at a time; others take the rest meanwhile
FAILURES = 5  # pushes in a row, then a connection counts as dead
REST = 2.0  # seconds that one rests which did not take a message
Key = tuple[str, int, datetime, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Story:
    """What all subscriptions that stand at the same place are told, and where they stand then."""

    batches: Sequence[Batch]
    cursor: int
    ended_after: datetime
    over: bool  # the one run they follow has ended


@dataclass(frozen=True, slots=True)
class Pushed:
    """How far a subscription came, and what stopped it."""

    to: Subscription
    failure: Undelivered | None = None


async def tell_watchers(
    rt: Runtime, gateway: Gateway, thread_id: str, *, until: float = math.inf
) -> int:
    """Push to all who follow a thread until none has anything to be told; how many were told.

    After `until`, in `time.monotonic` seconds, nothing more is begun: another invocation goes on.
    Who was told is free at once, and is told more while slower ones are still waited for.
    """
    pushing: set[asyncio.Task[Pushed]] = set()
    told = 0
    while True:
        in_time = time.monotonic() < until
        limit = CONNECTIONS if in_time else 0
        due = await rt.store.due_subscriptions(thread_id, lease=LEASE, limit=limit)
        if not due and not pushing:
            if not in_time:
                await ring_outside(rt, [Notice(Topic.THREAD, thread_id)], owner=thread_id)
            return told
        stories = await _stories(rt, due) if due else {}
        pushing |= {asyncio.create_task(_push(gateway, one, stories[_key(one)])) for one in due}
        began = time.monotonic()
        done, pushing = await asyncio.wait(pushing, timeout=GATHER if due else SLOW)
        pushed = [task.result() for task in done]
        await rt.cut("after push")
        await _settle(rt, thread_id, pushed)
        told += sum(not one.failure for one in pushed)
        if not pushing and len(due) < CONNECTIONS:
            await asyncio.sleep(max(0.0, GATHER - (time.monotonic() - began)))


async def _stories(rt: Runtime, due: Sequence[Subscription]) -> dict[Key, Story]:
    """Read once for all of them, rendered once for all who stand at the same place."""
    news = await rt.store.thread_news(
        due[0].thread_id,
        after=min(one.cursor for one in due),
        ended_after=min(one.ended_after for one in due),
        limit=EVENTS,
    )
    items = in_order(news)
    places = {_key(one): one for one in due}
    return {key: _story(one, news, items) for key, one in places.items()}


def _story(one: Subscription, news: News, items: Sequence[Item]) -> Story:
    ends = [item for item in items if isinstance(item, RunEnd)]
    return Story(
        batches(one, heard_by(one, items)),
        cursor=max(one.cursor, news.upto),
        ended_after=max([one.ended_after, *(end.ended_at for end in ends)]),
        over=bool(one.run_id) and any(end.run_id == one.run_id for end in ends),
    )


def _key(one: Subscription) -> Key:
    return one.run_id, one.cursor, one.ended_after, one.channels


async def _push(gateway: Gateway, one: Subscription, story: Story) -> Pushed:
    try:
        async with asyncio.timeout(LEASE / 2):
            for batch in story.batches:
                await gateway.push(one.connection_id, batch.body)
                one = replace(one, cursor=batch.cursor, ended_after=batch.ended_after)
    except TimeoutError:
        return Pushed(one, Undelivered("it takes too long"))
    except Undelivered as failure:
        return Pushed(one, failure)
    cursor, ended_after = story.cursor, story.ended_after
    return Pushed(replace(one, cursor=cursor, ended_after=ended_after, over=story.over, failures=0))


async def _settle(rt: Runtime, thread_id: str, pushed: Sequence[Pushed]) -> None:
    """Free those that were told, let others rest, forget those that are gone."""
    failed = [replace(p.to, failures=p.to.failures + 1) for p in pushed if p.failure]
    gone = {p.to.connection_id for p in pushed if isinstance(p.failure, Gone)}
    gone |= {one.connection_id for one in failed if one.failures >= FAILURES}
    resting = [one for one in failed if one.connection_id not in gone]
    await rt.store.settle_subscriptions([p.to for p in pushed if not p.failure])
    if gone:
        await rt.store.disconnect(sorted(gone))
    if resting:
        await rt.store.settle_subscriptions(resting, rest=REST)
        await ring_outside(rt, [Notice(Topic.THREAD, thread_id)], owner=thread_id, delay=REST)
    if failed:
        facts = {"thread_id": thread_id, "resting": len(resting), "gone": len(gone)}
        log.warning("not pushed: %s", next(p.failure for p in pushed if p.failure), extra=facts)
