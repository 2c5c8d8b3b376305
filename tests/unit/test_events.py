"""The local stack's events look like AWS's, to the parsers that know AWS's."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import EventBridgeEvent, SQSEvent
from aws_lambda_powertools.utilities.parser.models import EventBridgeModel, SqsModel

from infra.local.events import failed_of, scheduled_event, sqs_event
from infra.local.queues import Message, back_off

ARN = "arn:aws:sqs:eu-central-1:000000000000:steps"


def message(name: str = "m1", *, receive_count: int = 1, group: str | None = "alice") -> Message:
    return Message(name, f"receipt-{name}", f'{{"is":"{name}"}}', group, receive_count, 10.5, 11.25)


def test_an_sqs_event_is_what_powertools_reads() -> None:
    event = sqs_event([message("m1"), message("m2", receive_count=3)], ARN)

    assert len(SqsModel.model_validate(event).Records) == 2
    first, second = SQSEvent(event).records
    assert (first.message_id, first.receipt_handle) == ("m1", "receipt-m1")
    assert first.json_body == {"is": "m1"}
    assert first.md5_of_body == hashlib.md5(first.body.encode()).hexdigest()
    assert (first.event_source, first.event_source_arn) == ("aws:sqs", ARN)
    assert first.aws_region == "eu-central-1"
    assert first.attributes.sent_timestamp == "10500"
    assert first.attributes.approximate_first_receive_timestamp == "11250"
    assert first.attributes.message_group_id == "alice"
    assert second.attributes.approximate_receive_count == "3"


def test_a_message_without_a_group_has_no_such_attribute() -> None:
    (record,) = sqs_event([message(group=None)], ARN)["Records"]

    assert "MessageGroupId" not in record["attributes"]


def test_a_tick_is_what_powertools_reads() -> None:
    event = scheduled_event(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "eu-central-1")

    EventBridgeModel.model_validate(event)
    read = EventBridgeEvent(event)
    assert (read.source, read.detail_type, read.detail) == ("aws.events", "Scheduled Event", {})
    assert (read.time, read.region) == ("2026-11-21T09:30:00Z", "eu-central-1")


@pytest.mark.parametrize(
    "answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}]
)
def test_no_failures_mean_success(answer: Any) -> None:
    assert failed_of(answer, [message()]) == []


def test_only_what_is_named_has_failed() -> None:
    batch = [message("m1"), message("m2"), message("m3")]

    failed = failed_of({"batchItemFailures": [{"itemIdentifier": "m2"}]}, batch)

    assert failed == [batch[1]]


@pytest.mark.parametrize(
    "answer",
    [
        "done",
        ["m1"],
        {"batchItemFailures": "m1"},
        {"batchItemFailures": ["m1"]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "unknown"}]},
    ],
)
def test_an_answer_that_makes_no_sense_fails_the_batch(answer: Any) -> None:
    batch = [message("m1"), message("m2")]

    assert failed_of(answer, batch) == batch


def test_a_failed_message_rests_longer_each_time_but_never_long() -> None:
    rests = [back_off(count) for count in range(1, 12)]

    assert rests == sorted(rests)
    assert (rests[0], rests[-1], back_off(10**6)) == (0.5, 30.0, 30.0)
