"""What the notify queue carries."""

from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    WEBHOOK = "webhook"  # a run ended that owes one; the key is the run's id
    THREAD = "thread"  # a thread has something for those who watch it; the key is its id


@dataclass(frozen=True, slots=True)
class Notice:
    """A pointer to somebody outside who is owed something, never the thing itself."""

    topic: Topic
    key: str
