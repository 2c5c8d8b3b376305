"""An SQS queue, real or local, as a source of messages."""

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from graph.errors import Unavailable
from infra.local.queues import Message

LONG_POLL = 20  # seconds; the longest that SQS allows
Answer = TypeVar("Answer")


class SqsSource:
    """A `Source` over boto3."""

    def __init__(self, client: Any, url: str, arn: str) -> None:
        self.client = client
        self.url = url
        self.arn = arn

    @classmethod
    async def open(cls, client: Any, url: str) -> "SqsSource":
        """Raises Unavailable when there is no such queue."""
        asked = {"QueueUrl": url, "AttributeNames": ["QueueArn"]}
        found = await in_thread(lambda: client.get_queue_attributes(**asked))
        return cls(client, url, found["Attributes"]["QueueArn"])

    async def receive(self, limit: int) -> list[Message]:
        answer = await in_thread(
            lambda: self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=LONG_POLL,
                MessageSystemAttributeNames=["All"],
            ),
            unwanted=self._give_back,
        )
        return [_message(raw) for raw in answer.get("Messages", ())]

    async def delete(self, messages: Sequence[Message]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(messages)]
        if entries:
            await in_thread(
                lambda: self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)
            )

    async def release(self, messages: Sequence[Message], *, after: float) -> None:
        entries = [
            {"Id": str(n), "ReceiptHandle": m.receipt, "VisibilityTimeout": math.ceil(after)}
            for n, m in enumerate(messages)
        ]
        if entries:
            await in_thread(lambda: self._show(entries))

    def _give_back(self, answer: Any) -> None:
        """Messages that came when nobody waited for them any more."""
        raw = answer.get("Messages", ())
        entries = [
            {"Id": str(n), "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": 0}
            for n, m in enumerate(raw)
        ]
        if entries:
            self._show(entries)

    def _show(self, entries: list[dict[str, Any]]) -> Any:
        return self.client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)


def _message(raw: dict[str, Any]) -> Message:
    attributes = raw["Attributes"]
    return Message(
        message_id=raw["MessageId"],
        receipt=raw["ReceiptHandle"],
        body=raw["Body"],
        group=attributes.get("MessageGroupId"),
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=int(attributes["SentTimestamp"]) / 1000,
        received_at=int(attributes["ApproximateFirstReceiveTimestamp"]) / 1000,
    )


async def in_thread(
    ask: Callable[[], Answer], *, unwanted: Callable[[Answer], Any] | None = None
) -> Answer:
    """Ask in a daemon thread: unlike one of the pool's, it keeps no process from ending."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()
    abandoned = threading.Event()

    def settle(answer: Any, error: Exception | None) -> None:
        if answered.cancelled():
            return
        if error is not None:
            answered.set_exception(error)
        else:
            answered.set_result(answer)

    def run() -> None:
        try:
            answer, error = ask(), None
        except (BotoCoreError, ClientError) as failure:
            answer, error = None, failure
        if not abandoned.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(settle, answer, error)
        elif answer is not None and unwanted is not None:
            with contextlib.suppress(BotoCoreError, ClientError):
                unwanted(answer)

    threading.Thread(target=run, daemon=True).start()
    try:
        return await answered
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(f"SQS did not answer: {error}") from error
    except asyncio.CancelledError:
        abandoned.set()
        raise
