"""What the event source needs of a queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

LONGEST_BACK_OFF = 30.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received; the receipt is good for this receipt only."""

    message_id: str
    receipt: str
    body: str
    group: str | None
    receive_count: int
    sent_at: float  # seconds since the epoch
    received_at: float  # for the first time


@dataclass(frozen=True, slots=True)
class Redrive:
    """When a message that nobody deleted comes again, and how often before it is a dead letter."""

    visibility: float  # seconds
    max_receives: int = 10


class Source(Protocol):
    """A queue to receive from; raises Unavailable when it does not answer."""

    @property
    def arn(self) -> str: ...

    async def receive(self, limit: int) -> list[Message]:
        """Wait for messages; an empty list when none came for a while."""
        ...

    async def delete(self, messages: Sequence[Message]) -> None: ...

    async def release(self, messages: Sequence[Message], *, after: float) -> None:
        """Let others receive them in `after` seconds."""
        ...


def back_off(receive_count: int) -> float:
    """How long a message rests that was received that often and failed; seconds."""
    return float(min(0.5 * 2 ** min(receive_count - 1, 10), LONGEST_BACK_OFF))
