"""What the sweep does every minute, in bounded batches; safe to run twice at once."""

from dataclasses import dataclass

from graph.runtime.crons import fire_crons
from graph.runtime.engine import Runtime
from graph.runtime.models import Notice, Topic
from graph.runtime.ports import Notices, Queue, Store

BATCH = 500
NOTICE_GRACE = 15.0  # seconds after which a notice counts as lost


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: counts, for the log and the metrics."""

    rung: int = 0
    fired: int = 0
    expired: int = 0
    shortened: int = 0
    pruned: int = 0
    reminded: int = 0
    disconnected: int = 0
    forgotten: int = 0


async def sweep(rt: Runtime, *, grace: float = 60.0, keep_runs: float = 30 * 86400.0) -> Swept:
    """Ring for what was lost, fire crons, expire and shorten stale threads, drop what is old.

    `grace` is how long a thread may stand still before its message counts as lost, `keep_runs` how
    long a run that ended is kept; both in seconds. A thread whose every attempt died is rung for
    like the others: the step that is claimed next ends its run.
    """
    store = rt.store
    return Swept(
        rung=await rescue(store, rt.queue, grace=grace),
        fired=await fire_crons(rt, limit=BATCH),
        expired=await store.expire_threads(limit=BATCH),
        shortened=await shorten(store),
        pruned=await store.prune_runs(older_than=keep_runs, limit=BATCH),
        reminded=await remind(store, rt.notices),
        disconnected=await store.expire_connections(limit=BATCH),
        forgotten=await rt.long_term.expire(limit=BATCH) if rt.long_term else 0,
    )


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


async def shorten(store: Store) -> int:
    """Drop the history of threads whose TTL says `keep_latest`."""
    stale = await store.stale_threads(limit=BATCH)
    if stale:
        await store.keep_latest(stale)
    return len(stale)
