"""The doorbell on AWS: an SQS standard queue."""

import asyncio
import hashlib
import math
import re
import threading
from collections.abc import Callable
from typing import Any

from graph.errors import Unavailable
from graph.runtime.jobs import encode
from graph.runtime.models import StepJob

LONGEST_DELAY = 900  # seconds; what SQS allows
GROUP_ID = re.compile(r"[!-~]{1,128}")


class SqsQueue:
    """A `Queue` over botocore, which is loaded when the first job is sent.

    `fair` sends the owner as MessageGroupId: one owner's backlog does not delay the others.
    """

    def __init__(
        self, url: str, *, client: Callable[[], Any] | None = None, fair: bool = True
    ) -> None:
        self.url = url
        self.fair = fair
        self._make_client = client or _botocore_client
        self._made_client: Any = None
        self._making = threading.Lock()

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        await self.post(encode(job), owner=owner, delay=delay)

    async def post(self, body: str, *, owner: str, delay: float = 0.0) -> None:
        """Send any message."""
        request: dict[str, Any] = {"QueueUrl": self.url, "MessageBody": body}
        if delay > 0:
            request["DelaySeconds"] = min(math.ceil(delay), LONGEST_DELAY)
        if self.fair:
            request["MessageGroupId"] = group_id(owner)
        await asyncio.to_thread(self._send, request)

    def _send(self, request: dict[str, Any]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client().send_message(**request)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"the queue {self.url} did not take a job: {error}") from error

    def _client(self) -> Any:
        with self._making:  # making a client is not thread-safe, using one is
            if self._made_client is None:
                self._made_client = self._make_client()
        return self._made_client


def group_id(owner: str) -> str:
    """The owner, or its hash when SQS would refuse it as a MessageGroupId."""
    if GROUP_ID.fullmatch(owner):
        return owner
    return hashlib.sha256(owner.encode()).hexdigest()


def _botocore_client() -> Any:
    """What boto3 would hand out, a twentieth of a cold start sooner."""
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return get_session().create_client("sqs", config=config)
