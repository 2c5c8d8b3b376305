"""A doorbell that writes down who rang."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from graph.runtime.models import StepJob

LONGEST_DELAY = 900.0  # what SQS allows


@dataclass(frozen=True, slots=True)
class Sent:
    """A job on its way, and when it is due."""

    job: StepJob
    owner: str
    due: datetime


class MemoryQueue:
    """A `Queue` whose jobs tests look at in `sent` or take with `receive`."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self.sent: list[Sent] = []

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        due = self.clock() + timedelta(seconds=min(delay, LONGEST_DELAY))
        self.sent.append(Sent(job, owner, due))

    async def receive(self, now: datetime | None = None) -> StepJob | None:
        """Take the job that has been due longest; None when none is due."""
        now = now or self.clock()
        due = [sent for sent in self.sent if sent.due <= now]
        if not due:
            return None
        first = min(due, key=lambda sent: sent.due)
        self.sent.remove(first)
        return first.job
