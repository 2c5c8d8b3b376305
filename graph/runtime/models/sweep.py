"""What the sweep did, and what is left to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Thinned:
    """What one batch of thinning did."""

    threads: frozenset[str] = frozenset()  # that were at rest, and in nobody's hands
    dropped: int = 0  # checkpoints
    rest: frozenset[str] = frozenset()  # threads of which there is more to drop


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the sweep, each counted up to a bound, and what the tables take in bytes."""

    overdue_steps: int = 0
    overdue_webhooks: int = 0
    expired_threads: int = 0
    ended_runs: int = 0  # past their retention, and with them their events
    bytes: Mapping[str, int] = field(default_factory=dict)  # by table, indexes included
