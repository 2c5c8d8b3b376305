"""The double of the queue."""

from datetime import UTC, datetime, timedelta

from graph.adapters.memory import MemoryQueue
from graph.runtime.models import StepJob

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def queue_at_now() -> MemoryQueue:
    return MemoryQueue(clock=lambda: NOW)


async def test_jobs_come_out_when_they_are_due_the_longest_due_first() -> None:
    queue = queue_at_now()
    await queue.send(StepJob("later", 0), owner="a", delay=20)
    await queue.send(StepJob("soon", 1), owner="a", delay=10)
    assert await queue.receive() is None
    assert await queue.receive(NOW + timedelta(seconds=15)) == StepJob("soon", 1)
    assert await queue.receive(NOW + timedelta(seconds=15)) is None
    assert await queue.receive(NOW + timedelta(seconds=20)) == StepJob("later", 0)
    assert queue.sent == []


async def test_jobs_due_at_once_come_out_in_the_order_they_went_in() -> None:
    queue = queue_at_now()
    for seq in range(3):
        await queue.send(StepJob("t", seq), owner="a")
    assert [await queue.receive() for _ in range(3)] == [StepJob("t", seq) for seq in range(3)]


async def test_the_same_job_sent_twice_comes_twice() -> None:
    queue = queue_at_now()
    for _ in range(2):
        await queue.send(StepJob("t", 0), owner="a")
    assert [await queue.receive() for _ in range(3)] == [StepJob("t", 0), StepJob("t", 0), None]


async def test_no_delay_is_longer_than_the_real_queue_allows() -> None:
    queue = queue_at_now()
    await queue.send(StepJob("t", 0), owner="a", delay=86_400)
    assert [sent.due for sent in queue.sent] == [NOW + timedelta(seconds=900)]
    assert [sent.owner for sent in queue.sent] == ["a"]
