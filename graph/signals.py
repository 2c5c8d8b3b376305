"""What a node raises to be run again later: the step ends, no invocation sleeps."""

from datetime import UTC, datetime, timedelta

from langgraph.errors import GraphBubbleUp


class Signal(GraphBubbleUp):
    """A node's request to be run again at `wake_at`.

    It passes through retry policies and tool nodes as LangGraph's own interrupts do, and its
    siblings of the same superstep finish; a node's own `except Exception` must let it through.
    """

    def __init__(self, wake_at: datetime, reason: str = "") -> None:
        super().__init__(reason or f"waits until {wake_at.isoformat()}")
        self.wake_at = wake_at


class RetryLater(Signal):
    """Run this node again after `seconds`: a rate limit, a busy peer, a poll."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(datetime.now(UTC) + timedelta(seconds=seconds), reason)


class WaitUntil(Signal):
    """Run this node again at `time`, which has a time zone: a durable timer."""

    def __init__(self, time: datetime, reason: str = "") -> None:
        if time.tzinfo is None:
            raise ValueError("WaitUntil needs a time with a time zone")
        super().__init__(time, reason)
