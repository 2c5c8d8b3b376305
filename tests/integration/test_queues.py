"""The same behaviour from SQS over HTTP and from the memory queue over its socket."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
import pytest_asyncio

from graph.adapters.queues import queue_of
from graph.adapters.socket_queue import SocketQueue
from graph.adapters.sqs import SqsQueue
from graph.errors import Unavailable
from graph.runtime.jobs import decode
from graph.runtime.models import StepJob
from graph.runtime.ports import Queue
from infra.local.children import Children, python_env
from infra.local.environment import REGION, UNSIGNED
from infra.local.ledger import Ledger
from infra.local.memory_queue import MemoryQueue
from infra.local.queue_socket import served
from infra.local.queues import Message, Redrive, Source
from infra.local.sqs_queue import SqsSource
from infra.local.sqs_server import make_queues, sqs_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
REDRIVE = Redrive(visibility=1, max_receives=2)


@dataclass(frozen=True, slots=True)
class Line:
    """Both ends of a queue."""

    queue: Queue
    source: Source

    async def ring(self, *, delay: float = 0.0) -> StepJob:
        job = StepJob(str(uuid4()), 1)
        await self.queue.send(job, owner="alice", delay=delay)
        return job

    async def answer(self, limit: int = 10) -> list[Message]:
        async with asyncio.timeout(10):
            return await self.source.receive(limit)

    async def next_job(self) -> StepJob:
        (message,) = await self.answer()
        await self.source.delete([message])
        return job_of(message)


def job_of(message: Message) -> StepJob:
    return decode(message.body, 1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sqs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    ledger = Ledger(tmp_path_factory.mktemp("sqs") / "processes.json")
    async with Children(ledger, lambda _, line: print(line)) as children:
        env = python_env(os.environ)
        async with sqs_server(children, env, REDRIVE) as (_, endpoint):
            yield boto3.client("sqs", endpoint_url=endpoint, region_name=REGION, **UNSIGNED)


@contextlib.asynccontextmanager
async def sqs_line(client: Any) -> AsyncIterator[Line]:
    url = make_queues(client, REDRIVE, f"q-{uuid4().hex}")
    yield Line(SqsQueue(url, client=lambda: client), await SqsSource.open(client, url))


@contextlib.asynccontextmanager
async def memory_line(folder: Path) -> AsyncIterator[Line]:
    source = MemoryQueue(REDRIVE)
    async with served(source, folder) as path:
        queue = queue_of(f"unix://{path}")
        assert isinstance(queue, SocketQueue)
        yield Line(queue, source)
        queue.close()


@pytest_asyncio.fixture(params=["sqs", "memory"], loop_scope="module")
async def line(request: pytest.FixtureRequest, sqs: Any, tmp_path: Path) -> AsyncIterator[Line]:
    async with sqs_line(sqs) if request.param == "sqs" else memory_line(tmp_path) as made:
        yield made


async def test_a_job_arrives_with_its_owner_and_a_first_receive_count(line: Line) -> None:
    job = await line.ring()

    (message,) = await line.answer()

    assert job_of(message) == job
    assert (message.group, message.receive_count) == ("alice", 1)
    assert message.sent_at <= message.received_at == pytest.approx(time.time(), abs=5)


async def test_who_waits_hears_the_next_ring(line: Line) -> None:
    waiting = asyncio.create_task(line.next_job())
    await asyncio.sleep(0)

    job = await line.ring()

    assert await waiting == job


async def test_a_delayed_job_arrives_when_it_is_due(line: Line) -> None:
    started = time.monotonic()
    late = await line.ring(delay=1.0)
    early = await line.ring()

    assert await line.next_job() == early
    assert await line.next_job() == late
    assert time.monotonic() - started >= 0.95


async def test_a_job_nobody_deletes_comes_again_and_counts_its_receipts(line: Line) -> None:
    job = await line.ring()
    (first,) = await line.answer()

    (again,) = await line.answer()

    assert again.message_id == first.message_id
    assert again.receive_count == 2
    assert decode(again.body, again.receive_count) == StepJob(job.thread_id, 1, redelivered=True)


async def test_a_deleted_job_never_comes_again(line: Line) -> None:
    await line.ring()
    await line.source.delete(await line.answer())

    beyond_its_visibility = await line.ring(delay=2.0)

    assert await line.next_job() == beyond_its_visibility


async def test_a_released_job_comes_again_at_once(line: Line) -> None:
    job = await line.ring()
    started = time.monotonic()

    await line.source.release(await line.answer(), after=0)

    assert await line.next_job() == job
    assert time.monotonic() - started < REDRIVE.visibility


async def test_a_job_received_too_often_becomes_a_dead_letter(line: Line) -> None:
    await line.ring()
    for _ in range(REDRIVE.max_receives):
        await line.source.release(await line.answer(), after=0)

    alive = await line.ring()

    assert await line.next_job() == alive


async def test_a_batch_is_no_larger_than_asked_for(line: Line) -> None:
    jobs = {(await line.ring()).thread_id for _ in range(5)}

    heard: set[str] = set()
    while heard != jobs:
        batch = await line.answer(limit=2)
        assert 1 <= len(batch) <= 2
        await line.source.delete(batch)
        heard |= {job_of(message).thread_id for message in batch}


async def test_many_ring_at_once_and_none_is_lost(line: Line) -> None:
    jobs = await asyncio.gather(*(line.ring() for _ in range(50)))

    heard: list[StepJob] = []
    while len(heard) < len(jobs):
        batch = await line.answer()
        await line.source.delete(batch)
        heard += [job_of(message) for message in batch]

    assert {job.thread_id for job in heard} == {job.thread_id for job in jobs}


async def test_a_late_receipt_does_not_delete_what_somebody_else_has_received(
    tmp_path: Path,
) -> None:
    async with memory_line(tmp_path) as line:
        job = await line.ring()
        late = await line.answer()
        await line.source.release(late, after=0)
        (current,) = await line.answer()

        await line.source.delete(late)
        await line.source.release([current], after=0)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await line.source.receive(1)
        assert isinstance(line.source, MemoryQueue)
        assert [decode(dead.body, 1) for dead in line.source.dead] == [job]


async def test_the_socket_is_opened_again_when_the_stack_was_restarted(tmp_path: Path) -> None:
    queue = SocketQueue(tmp_path / "queue")
    for _ in range(2):
        source = MemoryQueue(REDRIVE)
        async with served(source, tmp_path):
            line = Line(queue, source)
            assert await line.ring() == await line.next_job()

    with pytest.raises(Unavailable, match=str(tmp_path)):
        await line.ring()


async def test_sqs_that_is_gone_is_unavailable() -> None:
    client = boto3.client("sqs", endpoint_url="http://127.0.0.1:9", region_name=REGION, **UNSIGNED)

    with pytest.raises(Unavailable, match="did not take a job"):
        await SqsQueue("http://127.0.0.1:9/q", client=lambda: client).send(
            StepJob("t", 1), owner="alice"
        )
    with pytest.raises(Unavailable, match="did not answer"):
        await SqsSource.open(client, "http://127.0.0.1:9/q")


async def test_a_line_that_is_no_message_is_refused_and_the_next_is_taken(
    tmp_path: Path,
) -> None:
    source = MemoryQueue(REDRIVE)
    async with served(source, tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        for line in (b"nonsense\n", b'{"body": "x"}\n', b'{"body":"x","group":null,"delay":0}\n'):
            writer.write(line)
        answers = [await reader.readline() for _ in range(3)]
        writer.close()
        await writer.wait_closed()

    assert [b"error" in answer for answer in answers] == [True, True, False]
    assert [message.body for message in await source.receive(10)] == ["x"]


async def test_a_socket_whose_path_would_be_too_long_is_put_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    async with memory_line(deep) as line:
        assert await line.ring() == await line.next_job()
