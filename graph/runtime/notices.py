"""Telling those outside: who is owed something, and the messages that say so."""

import asyncio
import json
import logging
from collections.abc import Sequence

from graph.errors import BadInput, Unavailable
from graph.runtime.engine import Runtime
from graph.runtime.models import Advanced, Claim, Notice, StepResult, Topic

log = logging.getLogger("baton.notices")


def encode(notice: Notice) -> str:
    """Compact JSON: {"topic", "key"}."""
    return json.dumps({"topic": notice.topic, "key": notice.key}, separators=(",", ":"))


def decode(text: str) -> Notice:
    """The notice in a body; raises BadInput."""
    try:
        body = json.loads(text)
        topic, key = Topic(body["topic"]), body["key"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f'a notice must be {{"topic", "key"}}, not {text[:200]!r}') from error
    if not isinstance(key, str) or not key:
        raise BadInput(f"key in a notice must be a text, not {key!r}")
    return Notice(topic, key)


def after_step(claim: Claim, result: StepResult, advanced: Advanced) -> tuple[Notice, ...]:
    """What a step that was saved owes those outside."""
    notices = []
    if advanced.watched:
        notices.append(Notice(Topic.THREAD, claim.thread_id))
    if claim.run and result.ending.ends_run and "webhook" in claim.run.kwargs:
        notices.append(Notice(Topic.WEBHOOK, claim.run.run_id))
    return tuple(notices)


def after_end(run_id: str, thread_id: str) -> tuple[Notice, ...]:
    """What the end of a run may owe that was ended from outside a step."""
    return Notice(Topic.WEBHOOK, run_id), Notice(Topic.THREAD, thread_id)


async def ring_outside(
    rt: Runtime, notices: Sequence[Notice], *, owner: str, delay: float = 0.0
) -> None:
    """Ring for each. What is owed stays owed when the queue is down: the sweep rings later."""
    if rt.notices is None:
        return
    try:
        sends = (rt.notices.send(notice, owner=owner, delay=delay) for notice in notices)
        await asyncio.gather(*sends)
    except Unavailable:
        facts = {"notices": [encode(notice) for notice in notices]}
        log.warning("the notify queue did not answer, the sweep will ring", extra=facts)
