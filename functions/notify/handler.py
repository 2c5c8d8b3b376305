"""The notify queue -> webhooks and WebSocket connections."""

import asyncio
import math
import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from graph.errors import BadInput
from graph.runtime.engine import Runtime
from graph.runtime.models import Notice, Topic
from graph.runtime.notices import decode
from graph.runtime.ports import Gateway
from graph.runtime.sockets import tell_watchers
from graph.runtime.webhooks import Mail, deliver

LAST_PUSHES = 12.0  # seconds of an invocation in which no more pushes are begun
Failures = dict[str, list[dict[str, str]]]  # what Lambda reads: which records come again


def handler(event: dict[str, Any], context: LambdaContext) -> Failures:
    """Tell all whom the records point at, at once; what fails comes again."""
    left = context.get_remaining_time_in_millis() / 1000
    until = time.monotonic() + max(left - LAST_PUSHES, 1.0)
    return notify_records(event, wiring.runtime(), wiring.mail(), wiring.gateway(), until=until)


def notify_records(
    event: dict[str, Any],
    rt: Runtime,
    mail: Mail,
    gateway: Gateway | None,
    *,
    until: float = math.inf,
) -> Failures:
    """Records that point at the same are one."""
    logger = wiring.logger()
    named: dict[Notice, list[str]] = {}
    failed: list[str] = []
    for record in event["Records"]:
        try:
            named.setdefault(decode(record["body"]), []).append(record["messageId"])
        except BadInput as error:
            logger.error("record failed", exc_info=error)
            failed.append(record["messageId"])

    async def tell_all() -> list[str | int | BaseException]:
        told = (notify(notice, rt, mail, gateway, until=until) for notice in named)
        return await asyncio.gather(*told, return_exceptions=True)

    for notice, how in zip(named, wiring.loop().run_until_complete(tell_all()), strict=True):
        if isinstance(how, BaseException):
            logger.error("notice failed", extra={"key": notice.key}, exc_info=how)
            failed += named[notice]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


async def notify(
    notice: Notice, rt: Runtime, mail: Mail, gateway: Gateway | None, *, until: float = math.inf
) -> str | int:
    """How the webhook went, or how many connections were told."""
    if notice.topic is Topic.WEBHOOK:
        return await deliver(rt, notice.key, mail)
    return await tell_watchers(rt, gateway, notice.key, until=until) if gateway else 0
