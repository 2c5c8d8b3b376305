"""The rows of model calls on memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from graph.calls import BatchCall, Wish

PAST = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Bucket:
    """What was left of a bucket, and when."""

    room: tuple[float, ...]
    at: datetime
    paused_until: datetime = PAST
    promised: datetime = PAST

    def short(self, wish: Wish, now: datetime) -> float:
        lacks = zip(wish.needs, self.refilled(wish, now), wish.rates, strict=True)
        short = max((need - room) / rate for need, room, rate in lacks)
        return max(short, (self.paused_until - now).total_seconds())

    def refilled(self, wish: Wish, now: datetime) -> tuple[float, ...]:
        since = max((now - self.at).total_seconds(), 0.0)
        numbers = zip(self.room, wish.caps, wish.rates, strict=True)
        return tuple(min(cap, room + rate * since) for room, cap, rate in numbers)

    def take(self, costs: Sequence[float]) -> None:
        self.room = tuple(room - cost for room, cost in zip(self.room, costs, strict=True))


@dataclass(slots=True)
class Asked:
    """A call for a batch, and where it is."""

    call: BatchCall
    taken_at: datetime | None = None
    batch_id: str | None = None


@dataclass(slots=True)
class CallTables:
    """The rows of model calls."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    batch: dict[str, Asked] = field(default_factory=dict)

    def drop_run(self, run_id: str) -> None:
        self.batch = {k: row for k, row in self.batch.items() if row.call.whose.run_id != run_id}
