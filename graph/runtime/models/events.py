"""What runs tell."""

from dataclasses import dataclass

SKIPPED = 1_000_000  # numbers that a lost claim may have told without writing them


@dataclass(frozen=True, slots=True)
class Event:
    """Something a run tells those who follow it: a name and JSON text."""

    name: str
    data: bytes
    seq: int = 0  # its number among the thread's events, given by the store
