"""What a model call needs of the engine: whose it is, and the rows that all workers share.

The engine binds a Caller for each step; elsewhere there is none, and nothing is shared.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from graph.usage import Spent, Totals

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a call takes of a bucket, in as many dimensions as the bucket has.

    It is granted where there is `needs`; `costs` is taken, which may leave less than nothing.
    """

    buckets: tuple[str, ...]  # any of them will do
    caps: tuple[float, ...]
    rates: tuple[float, ...]  # gained a second
    costs: tuple[float, ...]
    needs: tuple[float, ...]

    @property
    def takes(self) -> float:
        """The seconds in which a bucket gains what the call costs."""
        return max(cost / rate for cost, rate in zip(self.costs, self.rates, strict=True))


@dataclass(frozen=True, slots=True)
class Turn:
    """The bucket a call was granted and what that has left, or how many seconds to wait."""

    bucket: str | None
    room: tuple[float, ...] = ()
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose a call is."""

    owner: str
    thread_id: str
    run_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A call that is answered by a batch; the same call of a repeated step has the same key."""

    key: str
    whose: Whose
    node: str
    model: str
    request: Json
    result: Json | None = None  # {"message": ...} or {"error": text}
    tries: int = 0  # batches it was sent in


class CallStore(Protocol):
    """The rows of model calls, the same for every process. Each method is one statement."""

    async def reserve(self, wish: Wish, *, now: datetime | None = None) -> Turn:
        """Take from the bucket that has most room.

        Those who are refused are given times one after the other, as the bucket fills.
        """
        ...

    async def settle(self, bucket: str, more: Sequence[float], *, pause: float = 0.0) -> None:
        """Take what a call cost beyond its reservation, or give back; grant nothing for a pause."""
        ...

    async def open_call(self, whose: Whose, most: Spent) -> None:
        """Note before a call the most it can cost, so that it is on record if the process dies."""
        ...

    async def drop_call(self, call_id: str) -> None:
        """Forget an open call that cost nothing."""
        ...

    async def charge_open(self, thread_id: str, owner: str) -> Mapping[str, Totals]:
        """Count the thread's open calls as lost; what they cost by run."""
        ...

    async def charge_abandoned(self, *, older_than: float, limit: int) -> int:
        """Count open calls that no process can be waiting for any more; how many."""
        ...

    async def prune_usage(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        """Delete rows of usage; the totals of threads and runs stay. How many."""
        ...

    async def ask_batch(self, call: BatchCall) -> BatchCall:
        """Note a call for the next batch unless it is noted; the row as it stands."""
        ...

    async def find_batch_call(self, key: str) -> BatchCall | None:
        """A call that was asked for."""
        ...

    async def take_batch(self, *, limit: int) -> list[BatchCall]:
        """Calls to be sent; they are nobody else's until `batch_sent` or `batch_unsent`."""
        ...

    async def batch_sent(self, keys: Sequence[str], batch_id: str) -> None:
        """The calls are in this batch."""
        ...

    async def batch_unsent(self, keys: Sequence[str]) -> None:
        """The calls without an answer are in no batch: they go into the next."""
        ...

    async def forget_batch(self, batch_id: str) -> None:
        """The batch is gone: its calls without an answer go into the next."""
        ...

    async def open_batches(self) -> list[str]:
        """Batches with calls that have no answer yet."""
        ...

    async def unsure_batch_calls(self, *, older_than: float) -> Mapping[str, datetime]:
        """Calls whose sender died, and when they were taken: a batch may have them or not."""
        ...

    async def known_batches(self, batch_ids: Sequence[str]) -> set[str]:
        """Those of the batches whose calls are noted."""
        ...

    async def answer_batch_call(
        self, key: str, result: Json, spent: Spent | None
    ) -> tuple[str, int, str] | None:
        """Keep the answer and what it cost, once, and end the wait of its thread.

        Returns (thread_id, seq, owner) to ring for; None when nobody waits for it any more.
        """
        ...


@dataclass(slots=True)
class Caller:
    """The step in which models are called."""

    store: CallStore
    whose: Whose
    failures: int = 0  # calls that failed at this step, one attempt after the other
    background: bool = False
    batch: bool = False
    records: bool = False  # calls are on record before they are made
    repeats: Counter[str] = field(default_factory=Counter)  # of the same call within the step


_caller: ContextVar[Caller | None] = ContextVar("baton_caller", default=None)


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """The block, and the tasks and threads it starts, call models for this step."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def caller() -> Caller | None:
    """The step that calls, if it is one that Baton runs."""
    return _caller.get()
