"""Which queue a QUEUE_URL means."""

from graph.adapters.socket_queue import SocketQueue
from graph.adapters.sqs import SqsQueue
from graph.runtime.ports import Queue

UNIX = "unix://"


def queue_of(url: str) -> Queue:
    """unix://PATH is the local stack's memory queue, anything else an SQS queue."""
    return SocketQueue(url.removeprefix(UNIX)) if url.startswith(UNIX) else SqsQueue(url)
