"""What the sweep does every minute, in bounded batches; safe to run twice at once."""

from dataclasses import dataclass

from graph.runtime.ports import Queue, Store

BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: counts, for the log and the metrics."""

    rung: int = 0
    expired: int = 0
    shortened: int = 0
    pruned: int = 0


async def sweep(
    store: Store, queue: Queue, *, grace: float = 60.0, keep_runs: float = 30 * 86400.0
) -> Swept:
    """Ring for threads whose message was lost, expire and shorten stale ones, drop old runs.

    `grace` is how long a thread may stand still before its message counts as lost, `keep_runs` how
    long a run that ended is kept; both in seconds. A thread whose every attempt died is rung for
    like the others: the step that is claimed next ends its run.
    """
    return Swept(
        rung=await rescue(store, queue, grace=grace),
        expired=await store.expire_threads(limit=BATCH),
        shortened=await shorten(store),
        pruned=await store.prune_runs(older_than=keep_runs, limit=BATCH),
    )


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
