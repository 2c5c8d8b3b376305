"""What the sweep does every minute, in bounded batches; safe to run twice at once."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from graph.runtime.crons import fire_crons
from graph.runtime.engine import Runtime
from graph.runtime.models import Backlog, Notice, Topic
from graph.runtime.ports import Notices, Queue, Store
from graph.runtime.retention import AT_ONCE

BATCH = 500
WINDOW = 20_000  # threads that one look for worn ones passes
RECENT = 3600.0  # seconds for which a client may ask for what its run ended with
NOTICE_GRACE = 15.0  # seconds after which a notice counts as lost
MOST_COUNTED = 10_000  # of a backlog


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: counts, for the log and the metrics."""

    rung: int = 0
    fired: int = 0
    expired: int = 0
    thinned: int = 0
    pruned: int = 0
    reminded: int = 0
    disconnected: int = 0
    forgotten: int = 0


async def sweep(
    rt: Runtime,
    *,
    grace: float = 60.0,
    keep_runs: float = 30 * 86400.0,
    time_left: float = 20.0,
) -> Swept:
    """Ring for what was lost, fire crons, end and thin out what is past its time.

    `grace` is how long a thread may stand still before its message counts as lost, `keep_runs` how
    long a run that ended is kept, `time_left` after how long no further batch is begun; in seconds.
    A thread whose every attempt died is rung for like the others: the step that is claimed next
    ends its run.
    """
    store, until = rt.store, time.monotonic() + time_left
    return Swept(
        rung=await rescue(store, rt.queue, grace=grace),
        fired=await fire_crons(rt, limit=BATCH),
        reminded=await remind(store, rt.notices),
        disconnected=await store.expire_connections(limit=BATCH),
        expired=await drained(lambda: store.expire_threads(limit=BATCH), until),
        pruned=await drained(lambda: store.prune_runs(older_than=keep_runs, limit=BATCH), until)
        + await drained(lambda: store.prune_keys(older_than=keep_runs, limit=BATCH), until),
        thinned=await thin_out(rt, until),
        forgotten=await rt.long_term.expire(limit=BATCH) if rt.long_term else 0,
    )


async def left_over(
    rt: Runtime, *, grace: float = 60.0, keep_runs: float = 30 * 86400.0
) -> Backlog:
    """What a sweep has not got done, and what the tables take."""
    return await rt.store.backlog(grace=grace, older_than=keep_runs, limit=MOST_COUNTED)


async def drained(batch: Callable[[], Awaitable[int]], until: float) -> int:
    """Batch after batch as long as they are full and time is left; how many in all."""
    done = 0
    while True:
        found = await batch()
        done += found
        if found < BATCH or time.monotonic() >= until:
            return done


async def thin_out(rt: Runtime, until: float) -> int:
    """Drop the checkpoints that threads do not keep; how many."""
    dropped = 0
    while True:
        keeps = await rt.store.worn_threads(rt.retention.keep, window=WINDOW, limit=BATCH)
        dropped += await _thin(rt.store, keeps, until)
        if len(keeps) < BATCH or time.monotonic() >= until:
            return dropped


async def _thin(store: Store, keeps: Mapping[str, str], until: float) -> int:
    dropped = 0
    while keeps:
        thinned = await store.thin(keeps, limit=AT_ONCE, recent=RECENT)
        dropped += thinned.dropped
        if time.monotonic() >= until:  # the walk comes by again
            break
        keeps = {thread_id: keeps[thread_id] for thread_id in thinned.rest}
    return dropped


async def remind(store: Store, notices: Notices | None) -> int:
    """Ring again for webhooks that are due, and for connections that have not been told all."""
    if notices is None:
        return 0
    webhooks = await store.overdue_webhooks(grace=NOTICE_GRACE, limit=BATCH)
    threads = await store.overdue_subscriptions(grace=NOTICE_GRACE, limit=BATCH)
    late = [(Notice(Topic.WEBHOOK, run_id), owner) for run_id, owner in webhooks]
    late += [(Notice(Topic.THREAD, thread_id), owner) for thread_id, owner in threads]
    for notice, owner in late:
        await notices.send(notice, owner=owner)
    return len(late)


async def rescue(store: Store, queue: Queue, *, grace: float) -> int:
    """Send again what the queue, or a sender that died, has lost."""
    overdue = await store.overdue(grace=grace, limit=BATCH)
    for job, owner in overdue:
        await queue.send(job, owner=owner)
    return len(overdue)
