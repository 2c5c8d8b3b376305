"""How things stand, for those who watch over them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over all owners; what lies in the past is of the last hour."""

    due_steps: int = 0  # that nobody takes yet
    oldest_due: float = 0.0  # seconds that the one due longest has waited
    steps_under_way: int = 0
    sleeping: int = 0  # threads that wait for a time to come
    waiting: int = 0  # threads that wait for a person, by Postgres's statistics
    unfinished: Mapping[str, int] = field(default_factory=dict)  # runs by status
    ended: Mapping[str, int] = field(default_factory=dict)  # runs by status
    model_calls: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)
