"""Events as AWS makes them, for the handlers that Lambda would call."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from infra.local.queues import Message

Json = dict[str, Any]
ACCOUNT = "000000000000"


def sqs_event(messages: Sequence[Message], arn: str) -> Json:
    """One batch of an SQS event source mapping."""
    return {"Records": [_record(message, arn) for message in messages]}


def _record(message: Message, arn: str) -> Json:
    attributes = {
        "ApproximateReceiveCount": str(message.receive_count),
        "SentTimestamp": str(round(message.sent_at * 1000)),
        "SenderId": "AIDALOCAL",
        "ApproximateFirstReceiveTimestamp": str(round(message.received_at * 1000)),
    }
    if message.group is not None:
        attributes["MessageGroupId"] = message.group
    return {
        "messageId": message.message_id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }


def scheduled_event(now: datetime, region: str) -> Json:
    """One tick of an EventBridge rule."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{ACCOUNT}:rule/baton-sweep"],
        "detail": {},
    }


def failed_of(answer: Any, messages: Sequence[Message]) -> list[Message]:
    """The messages a handler reports as failed, read as Lambda reads the answer.

    Nothing means that all succeeded; an answer that makes no sense, that all failed.
    """
    if answer is None or answer == {}:
        return []
    if not isinstance(answer, dict) or not isinstance(answer.get("batchItemFailures") or [], list):
        return list(messages)
    by_id = {message.message_id: message for message in messages}
    failed = []
    for failure in answer.get("batchItemFailures") or []:
        name = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if name not in by_id:
            return list(messages)
        failed.append(by_id[name])
    return failed
