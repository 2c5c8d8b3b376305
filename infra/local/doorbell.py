"""The stack's queue: an embedded SQS, one in memory, or one that somebody else runs."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graph.errors import Unavailable
from infra.local.children import CannotStart, Children
from infra.local.memory_queue import MemoryQueue
from infra.local.queue_socket import served
from infra.local.queues import Redrive, Source


@dataclass(frozen=True, slots=True)
class Doorbell:
    """A queue: what receives from it, and what those need to know who send to it."""

    source: Source
    url: str
    notices: Source
    notices_url: str
    env: Mapping[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def embedded_sqs(
    children: Children, env: Mapping[str, str], redrive: Redrive
) -> AsyncIterator[Doorbell]:
    from infra.local.sqs_queue import SqsSource
    from infra.local.sqs_server import NOTICES, QUEUE, sqs_server

    async with sqs_server(children, env, redrive) as (source, endpoint):
        notices = await SqsSource.open(source.client, source.url.replace(QUEUE, NOTICES))
        told = {"AWS_ENDPOINT_URL_SQS": endpoint}
        yield Doorbell(source, source.url, notices, notices.url, told)


@contextlib.asynccontextmanager
async def in_memory(folder: Path, redrive: Redrive) -> AsyncIterator[Doorbell]:
    queue, notices = MemoryQueue(redrive), MemoryQueue(redrive)
    async with served(queue, folder) as path, served(notices, folder, "notices") as other:
        yield Doorbell(queue, f"unix://{path}", notices, f"unix://{other}")


@contextlib.asynccontextmanager
async def somebody_elses(
    url: str, env: Mapping[str, str], folder: Path, redrive: Redrive
) -> AsyncIterator[Doorbell]:
    """An SQS queue that AWS's usual variables lead to; raises CannotStart when they do not.

    Notices have their own in memory: it is this stack that tells those outside.
    """
    import boto3

    from infra.local.sqs_queue import SqsSource

    try:
        client = boto3.client(
            "sqs",
            endpoint_url=env.get("AWS_ENDPOINT_URL_SQS"),
            region_name=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
            aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=env.get("AWS_SESSION_TOKEN"),
        )
        source = await SqsSource.open(client, url)
    except Unavailable as error:
        raise CannotStart(f"QUEUE_URL is {url}, but {error}") from error
    async with in_memory(folder, redrive) as own:
        yield Doorbell(source, url, own.notices, own.notices_url)
