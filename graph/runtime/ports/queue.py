"""The port of the queue."""

from typing import Protocol

from graph.runtime.models import StepJob


class Queue(Protocol):
    """The doorbell: at least once, in any order."""

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        """Ring after `delay` seconds (capped at what the queue allows); raises Unavailable."""
        ...
