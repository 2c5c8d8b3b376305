"""What runs tell."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something a run tells those who follow it: a name and JSON text."""

    name: str
    data: bytes
    seq: int = 0  # its number among the thread's events, given by the store
