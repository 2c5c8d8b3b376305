"""The end of a run told to its webhook: at least once, always with the same id.

Signed as standardwebhooks.com says, where a secret is set.
"""

import base64
import hashlib
import hmac
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from graph.errors import BadInput, Undelivered
from graph.public_web import Refused, checked
from graph.runtime.engine import Runtime
from graph.runtime.models import Delivery, Json, Notice, Run, RunStatus, Topic
from graph.runtime.notices import ring_outside
from graph.runtime.ports import Post
from graph.runtime.rendering import to_json

log = logging.getLogger("baton.webhooks")

LEASE = 60.0  # seconds, more than an attempt can take
ATTEMPTS = 8
FIRST_PAUSE, SLOWDOWN = 5.0, 3.0  # 5 s, 15 s, ... 61 min: given up after an hour and a half
LONGEST_DELAY = 900.0  # of a message; for what is due later the sweep rings
LONGEST_URL = 2048


@dataclass(frozen=True, slots=True)
class Mail:
    """How webhooks are written and sent."""

    post: Post
    describe: Callable[[Run], Json]  # a run as its clients see it
    secrets: tuple[bytes, ...] = ()  # each makes a signature of its own: so they are changed
    pause: Callable[[int], float] = field(default=lambda attempts: pause(attempts))


def check_webhook(rt: Runtime, url: object) -> None:
    """Raises BadInput for an address that no delivery would go to."""
    if rt.notices is None:
        raise BadInput("webhook: this deployment has no notify queue (NOTIFY_QUEUE_URL)")
    if not isinstance(url, str) or not 0 < len(url) <= LONGEST_URL:
        raise BadInput(f"webhook must be an address of at most {LONGEST_URL} characters")
    if url.startswith("/"):
        raise BadInput("webhook must be a whole address: this server calls no route of its own")
    try:
        checked(url)
    except Refused as refused:
        raise BadInput(f"webhook: {refused}") from refused


def secrets_of(text: str) -> tuple[bytes, ...]:
    """The keys in a setting, separated by spaces: `whsec_` and base64, or any text."""
    keys = []
    for secret in text.split():
        if secret.startswith("whsec_"):
            keys.append(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
        else:
            keys.append(secret.encode())
    return tuple(keys)


def signed(
    message_id: str, body: bytes, secrets: tuple[bytes, ...], at: datetime
) -> dict[str, str]:
    """The headers by which a receiver knows who sent this, when, and whether it came before."""
    seconds = str(int(at.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": seconds}
    told = b".".join((message_id.encode(), seconds.encode(), body))
    signatures = [hmac.new(secret, told, hashlib.sha256).digest() for secret in secrets]
    if signatures:
        codes = (base64.b64encode(signature).decode() for signature in signatures)
        headers["webhook-signature"] = " ".join(f"v1,{code}" for code in codes)
    return headers


async def deliver(rt: Runtime, run_id: str, mail: Mail) -> str:
    """Make the attempt that is due, if one is; how it went, for the log."""
    delivery = await rt.store.take_webhook(run_id, lease=LEASE)
    if delivery is None:
        return "not due"
    webhook, now = delivery.webhook, datetime.now(UTC)
    body = to_json(await _payload(rt, delivery, mail, now))
    headers = {"content-type": "application/json", **signed(run_id, body, mail.secrets, now)}
    await rt.cut("before post")
    error, again_in = None, None
    try:
        await mail.post(webhook.url, body, headers)
    except Refused as refused:
        error = str(refused)
    except Undelivered as failure:
        error = str(failure)
        if webhook.attempts < ATTEMPTS:
            again_in = mail.pause(webhook.attempts)
    await rt.cut("after post")
    if not await rt.store.settle_webhook(webhook, error=error, again_in=again_in):
        return "overtaken"
    return await _noted(rt, delivery, error, again_in)


async def _noted(rt: Runtime, delivery: Delivery, error: str | None, again_in: float | None) -> str:
    webhook, run = delivery.webhook, delivery.run
    outcome = "delivered" if error is None else "failed" if again_in is None else "again"
    facts = {"run_id": run.run_id, "attempts": webhook.attempts, "outcome": outcome}
    if error is None:
        log.info("webhook", extra=facts)
    elif again_in is None:
        log.error("webhook given up: %s", error, extra=facts)
    else:
        log.warning("webhook comes again: %s", error, extra=facts | {"again_in": again_in})
        if again_in <= LONGEST_DELAY:
            notice = Notice(Topic.WEBHOOK, run.run_id)
            await ring_outside(rt, [notice], owner=run.owner, delay=again_in)
    return outcome


def pause(attempts: int) -> float:
    """Seconds until the next attempt; half of it is chance, so that receivers are not stormed."""
    longest = FIRST_PAUSE * SLOWDOWN ** (attempts - 1)
    return longest * (0.5 + random.random() / 2)


async def _payload(rt: Runtime, delivery: Delivery, mail: Mail, now: datetime) -> Json:
    """The run as the official server sends it: its row, its state, and when."""
    run = delivery.run
    values, failed = await _values(rt, run), run.status in (RunStatus.ERROR, RunStatus.TIMEOUT)
    return {
        **mail.describe(run),
        "run_started_at": run.created_at,
        "run_ended_at": run.ended_at,
        "webhook_sent_at": now,
        "values": values,
        "error": _sentence(run.error) if failed else None,
    }


async def _values(rt: Runtime, run: Run) -> Json | None:
    from graph.runtime.values import final_values, values_at

    if run.head is None:
        return None
    if run.status in (RunStatus.ERROR, RunStatus.TIMEOUT):
        values: Json = await values_at(rt, run.thread_id, run.head)
    else:
        values = await final_values(rt, run)
    return values


def _sentence(error: Json | None) -> str | None:
    return f"{error.get('error')}: {error.get('message')}" if error else None
