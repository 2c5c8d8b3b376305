"""What a node raises to be run again later: the step ends, no invocation sleeps."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime

from langgraph.errors import GraphBubbleUp


class Signal(GraphBubbleUp, ABC):
    """A node's request to be run again later.

    It passes through retry policies and tool nodes as LangGraph's own interrupts do, and its
    siblings of the same superstep finish; a node's own `except Exception` must let it through.
    """

    @property
    @abstractmethod
    def wake_in(self) -> float:
        """Seconds from now until the node may run again."""


class RetryLater(Signal):
    """Run this node again after `seconds`: a rate limit, a busy peer, a poll."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"again in {seconds} s")
        self.seconds = seconds

    @property
    def wake_in(self) -> float:
        return self.seconds


class CallFailed(RetryLater):
    """A model call failed: it is made again later, and the step counts how often."""


class WaitUntil(Signal):
    """Run this node again at `time`, which has a time zone: a durable timer."""

    def __init__(self, time: datetime, reason: str = "") -> None:
        if time.tzinfo is None:
            raise ValueError("WaitUntil needs a time with a time zone")
        super().__init__(reason or f"waits until {time.isoformat()}")
        self.time = time

    @property
    def wake_in(self) -> float:
        return max((self.time - datetime.now(UTC)).total_seconds(), 0.0)
