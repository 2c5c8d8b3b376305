"""Which queue a QUEUE_URL means."""

from graph.adapters.socket_queue import SocketQueue
from graph.adapters.sqs import SqsQueue
from graph.runtime.models import Notice
from graph.runtime.notices import encode

UNIX = "unix://"


class NotifyQueue:
    """`Notices` over either kind of queue."""

    def __init__(self, queue: SqsQueue | SocketQueue) -> None:
        self.queue = queue

    async def send(self, notice: Notice, *, owner: str, delay: float = 0.0) -> None:
        await self.queue.post(encode(notice), owner=owner, delay=delay)


def queue_of(url: str) -> SqsQueue | SocketQueue:
    """unix://PATH is the local stack's memory queue, anything else an SQS queue."""
    return SocketQueue(url.removeprefix(UNIX)) if url.startswith(UNIX) else SqsQueue(url)
