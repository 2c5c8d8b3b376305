"""Rate limits that all workers share: a call takes its tokens from a bucket before it is made.

A bucket holds a share of a minute's limit and gains the rest in a minute: no minute sees more
than the limit. Without BATON_MODEL_LIMITS nothing is asked of the database.
"""

import hashlib
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from graph.calls import Turn, Wish, caller
from graph.errors import Unavailable
from graph.llm.failures import Limited, jittered
from graph.llm.providers import keys, place
from graph.llm.router import Call
from graph.llm.settings import Limit, model_settings
from graph.signals import RetryLater

log = logging.getLogger("baton.models")

BURST = 0.2  # of a minute's limit may be used at once
WITHOUT_END = 1e15
LIKELY_OUTPUT = 1000  # tokens; what it was is settled afterwards
WARN_AT = 0.8  # of a bucket


@asynccontextmanager
async def admitted(call: Call) -> AsyncIterator[str]:
    """The key to call with; raises RetryLater when no bucket has room.

    Takes what the call is likely to use, and settles afterwards for what it did use. A process
    that dies in between loses only what the bucket gains again.
    """
    step, found = caller(), model_settings().limit(call.model)
    pool = keys()
    if step is None or found is None:
        yield random.choice(pool)
        return
    name, limit = found
    by_bucket = {f"{_digest(key)}:{name}": key for key in pool}
    wish = wish_of(limit, call, tuple(by_bucket), background=step.background)
    turn = await step.store.reserve(wish)
    if turn.bucket is None:
        raise RetryLater(jittered(turn.wait), f"the limit of {call.model} is reached")
    _warn(turn, wish, call.model)
    pause = 0.0
    try:
        yield by_bucket[turn.bucket]
    except Limited as limited:
        pause = limited.pause
        raise
    finally:
        more = [used - cost for used, cost in zip(_used(call), wish.costs, strict=True)]
        try:
            await step.store.settle(turn.bucket, more, pause=pause)
        except Unavailable:  # the answer is there, and the bucket fills again
            log.warning("a call was not settled", exc_info=True)


def wish_of(limit: Limit, call: Call, buckets: tuple[str, ...], *, background: bool) -> Wish:
    """What the call takes; in the background, only where enough is left for others."""
    minute = (limit.requests, limit.input_tokens, limit.output_tokens)
    caps = tuple(max(n * BURST, 1.0) if n else WITHOUT_END for n in minute)
    rates = tuple(n * (1 - BURST) / 60 if n else WITHOUT_END for n in minute)
    costs = (1.0, float(call.likely_input), float(min(call.most.output_tokens, LIKELY_OUTPUT)))
    left = model_settings().BATON_MODEL_RESERVE if background else 0.0
    needs = (min(cost + left * cap, cap) for cost, cap in zip(costs, caps, strict=True))
    return Wish(buckets, caps, rates, costs, tuple(needs))


def _used(call: Call) -> Sequence[float]:
    """In truth; a call that was refused is a request all the same."""
    if call.made is None:
        return (1.0, 0.0, 0.0)
    uncached = call.made.input_tokens - call.made.cached_tokens  # what was cached is not limited
    return (1.0, float(uncached), float(call.made.output_tokens))


def _warn(turn: Turn, wish: Wish, model: str) -> None:
    """For the metric of infra/monitoring.yaml."""
    used = max(1 - room / cap for room, cap in zip(turn.room, wish.caps, strict=True))
    if used >= WARN_AT:
        facts = {"limit_used": round(used, 2), "model": model, "bucket": turn.bucket}
        log.warning("a rate limit is nearly reached", extra=facts)


def _digest(key: str) -> str:
    """Tells keys apart, and does not tell them."""
    return hashlib.sha256(f"{place()} {key}".encode()).hexdigest()[:16]
