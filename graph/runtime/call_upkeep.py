"""What the sweep does for model calls: batches, calls that nobody finished, old rows of usage."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from graph.calls import CallStore
from graph.runtime.engine import Runtime
from graph.runtime.models import StepJob

BATCH = 500
ABANDONED = 1200.0  # seconds; no invocation lasts so long

Collect = Callable[[CallStore], Awaitable[set[tuple[str, int, str]]]]


@dataclass(frozen=True, slots=True)
class CallsSwept:
    """What was done, as counts."""

    answered: int = 0  # steps that a batch lets go on
    charged: int = 0
    usage_pruned: int = 0


async def sweep_calls(rt: Runtime, *, collect: Collect, keep_usage: float) -> CallsSwept:
    """Send and fetch batches, count what dead processes spent, drop usage older than seconds.

    A thread whose answer is there is rung for; if that is lost, it looks for itself before long.
    """
    woken = await collect(rt.store)
    for thread_id, seq, owner in sorted(woken):
        await rt.queue.send(StepJob(thread_id, seq), owner=owner)
    return CallsSwept(
        answered=len(woken),
        charged=await rt.store.charge_abandoned(older_than=ABANDONED, limit=BATCH),
        usage_pruned=await rt.store.prune_usage(older_than=keep_usage, limit=BATCH),
    )
