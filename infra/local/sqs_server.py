"""The embedded SQS: moto's server in a process of its own, on a socket that the stack holds."""

import contextlib
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.local.children import Children, Program, python
from infra.local.environment import REGION, UNSIGNED
from infra.local.kept import Server, kept
from infra.local.queues import Redrive
from infra.local.sqs_queue import SqsSource, in_thread

QUEUE, NOTICES = "baton-steps", "baton-notices"


@contextlib.asynccontextmanager
async def sqs_server(
    children: Children, env: Mapping[str, str], redrive: Redrive
) -> AsyncIterator[tuple[SqsSource, str]]:
    """The queue of steps, beside it that of notices, each with a dead letter queue; the endpoint.

    All of them are empty after the server had to be started again: the sweep rings anew.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        fd = listening.fileno()
        command = python("infra.local.sqs_server", str(fd))
        program = Program("sqs", command, env, Path.cwd(), fds=(fd,))
        client = _client(endpoint)

        async def ready() -> str:
            await in_thread(lambda: make_queues(client, redrive, NOTICES))
            return await in_thread(lambda: make_queues(client, redrive))

        async with kept(Server(program, ready), children):
            yield await SqsSource.open(client, await ready()), endpoint


def _client(endpoint: str) -> Any:
    config = Config(read_timeout=30, retries={"total_max_attempts": 1})
    return boto3.client("sqs", endpoint_url=endpoint, region_name=REGION, config=config, **UNSIGNED)


def make_queues(client: Any, redrive: Redrive, name: str = QUEUE) -> str:
    """Make a queue and its dead letter queue, or find them made; the queue's URL."""
    dead = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    found = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    target = {
        "deadLetterTargetArn": found["Attributes"]["QueueArn"],
        "maxReceiveCount": redrive.max_receives,
    }
    attributes = {
        "VisibilityTimeout": str(round(redrive.visibility)),
        "RedrivePolicy": json.dumps(target),
    }
    return str(client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def main() -> None:
    """The server itself; serves on the socket whose number it is given."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    fd = int(sys.argv[1])
    listening = socket.socket(fileno=fd)
    host, port = listening.getsockname()
    app = DomainDispatcherApplication(create_backend_app)
    make_server(host, port, app, threaded=True, fd=fd).serve_forever()


if __name__ == "__main__":
    main()
