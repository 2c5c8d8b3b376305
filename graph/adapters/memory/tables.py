"""The rows behind the memory store, and the moves of a thread's row."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from graph.adapters.memory.call_rows import CallTables
from graph.adapters.memory.shelf import Shelf
from graph.errors import LostClaim, NotFound
from graph.runtime.models import (
    Advanced,
    ApiKey,
    Assistant,
    Claim,
    Connected,
    Cron,
    Event,
    Refusal,
    Run,
    StepJob,
    Subscription,
    Thread,
    ThreadStatus,
    Verdict,
    Webhook,
    WebhookStatus,
)
from graph.usage import Spent, total


@dataclass(frozen=True, slots=True)
class Call:
    """A model call and whose it was."""

    owner: str
    thread_id: str
    run_id: str
    seq: int
    spent: Spent
    lost: bool
    opened_at: datetime | None = None  # it is not counted yet
    spent_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(slots=True)
class ThreadRow:
    """A thread, and what only the step protocol sees of it."""

    thread: Thread
    fence: int = 0
    attempts: int = 0
    lease_until: datetime | None = None
    wake_at: datetime | None = None
    rung_at: datetime | None = None
    due: dict[str, datetime] = field(default_factory=dict)  # of runs not to begin before
    rests_as: ThreadStatus = ThreadStatus.IDLE  # without the active run
    events: int = 0  # number of the newest
    events_kept: int = 0  # newer ones were told by attempts at the step that is running
    watched_until: datetime | None = None
    thinned: str | None = None  # to what, and at which head

    def update(self, **changes: Any) -> None:
        self.thread = replace(self.thread, **changes)

    def stamp(self, keep: str) -> str:
        """What `thinned` is once its history is what it keeps."""
        return f"{keep}@{self.thread.head}"

    def leased(self, now: datetime) -> bool:
        return self.lease_until is not None and self.lease_until > now

    def watched(self, now: datetime) -> bool:
        return self.watched_until is not None and self.watched_until > now

    def asleep(self, now: datetime) -> bool:
        return self.wake_at is not None and self.wake_at > now

    def take(self, now: datetime, lease: float) -> None:
        """Lease the thread to a new claim; every older claim is lost."""
        self.fence += 1
        self.lease_until = now + timedelta(seconds=lease)

    def release(self) -> None:
        """End the claim; it is lost to whoever still holds it."""
        self.fence += 1
        self.lease_until = None
        self.attempts = 0

    def activate(self, run_id: str) -> None:
        """Give the thread to a run, due at once unless it said when."""
        self.attempts = 0
        self.wake_at = self.due.get(run_id)
        self.update(active_run_id=run_id, status=ThreadStatus.BUSY)

    def next_turn(self, rest: ThreadStatus) -> None:
        """Activate the run that waits longest, or rest with this status."""
        self.rests_as = rest
        if self.thread.queued:
            first, *others = self.thread.queued
            self.update(queued=tuple(others))
            self.activate(first)
        else:
            self.wake_at = None
            self.update(active_run_id=None, status=rest)

    def refusal(self, verdict: Verdict, now: datetime) -> Refusal:
        return Refusal(
            verdict,
            seq=self.thread.seq,
            active=self.thread.active_run_id is not None,
            leased_for=_seconds_until(self.lease_until, now),
            due_in=_seconds_until(self.wake_at, now),
            owner=self.thread.owner,
        )

    def advanced(self, now: datetime) -> Advanced:
        watched = self.watched(now)
        if self.thread.active_run_id is None:
            return Advanced(None, watched=watched)
        job = StepJob(self.thread.thread_id, self.thread.seq)
        return Advanced(job, delay=_seconds_until(self.wake_at, now), watched=watched)


def _seconds_until(time: datetime | None, now: datetime) -> float:
    return max(0.0, (time - now).total_seconds()) if time else 0.0


@dataclass(slots=True)
class Followed:
    """A subscription, and until when nobody else may push to it."""

    subscription: Subscription
    lease_until: datetime | None = None

    def free(self, now: datetime) -> bool:
        return self.lease_until is None or self.lease_until <= now


@dataclass(slots=True)
class Tables:
    """All rows; stores that share one are connections to the same database."""

    threads: dict[str, ThreadRow] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)  # in order of creation
    requests: dict[tuple[str, str], tuple[str | None, str]] = field(default_factory=dict)
    crons: dict[str, Cron] = field(default_factory=dict)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    assistants: dict[tuple[str, str], Assistant] = field(default_factory=dict)  # (owner, id)
    versions: dict[tuple[str, str], list[Assistant]] = field(default_factory=dict)  # from 1 on
    events: dict[str, list[tuple[int, Event]]] = field(default_factory=dict)  # run -> (fence, it)
    calls: list[Call] = field(default_factory=list)
    model_calls: CallTables = field(default_factory=CallTables)
    webhooks: dict[str, Webhook] = field(default_factory=dict)  # by run
    connections: dict[str, tuple[Connected, datetime]] = field(default_factory=dict)  # its end
    subscriptions: dict[tuple[str, str, str], Followed] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    turns: dict[str, datetime] = field(default_factory=dict)  # when an owner's bucket is full
    walk: str = ""  # the last thread that the walk of retention passed
    written: int = 0
    highest_fence: int = 0  # of threads that are gone: one made again is not mistaken for them

    def shelf(self, thread_id: str) -> Shelf:
        return self.shelves.setdefault(thread_id, Shelf(self.next_written))

    def next_written(self) -> int:
        self.written += 1
        return self.written

    def update_run(self, run_id: str, **changes: Any) -> Run:
        before = self.runs[run_id]
        self.runs[run_id] = replace(before, **changes)
        if self.runs[run_id].status.ended and not before.status.ended:
            self._run_ends(run_id)
        return self.runs[run_id]

    def _run_ends(self, run_id: str) -> None:
        """As the trigger of that name: whatever ends a run, what is owed for it is noted."""
        run = self.runs[run_id]
        others = [r.ended_at for r in self.runs.values() if r.ended_at]
        ended_at = max([run.updated_at, *(at + timedelta(microseconds=1) for at in others)])
        self.runs[run_id] = replace(run, ended_at=ended_at)
        if "webhook" in run.kwargs and run_id not in self.webhooks:
            url = run.kwargs["webhook"]
            self.webhooks[run_id] = Webhook(run_id, url, WebhookStatus.PENDING, 0, ended_at)

    def count(self, owner: str, thread_id: str, run_id: str, spent: Sequence[Spent]) -> None:
        """Add calls to what their thread and their run have spent, if these are still there."""
        row, run = self.threads.get(thread_id), self.runs.get(run_id)
        if row and row.thread.owner == owner:
            row.update(spent=row.thread.spent + total(spent))
        if run:
            self.update_run(run_id, spent=run.spent + total(spent))

    def add_events(self, row: ThreadRow, claim: Claim, events: Sequence[Event]) -> None:
        """Store them instead of what earlier attempts at the step told."""
        assert claim.run is not None, "runs tell, edits do not"
        told = self.events.get(claim.run.run_id, [])
        kept = [(f, e) for f, e in told if e.seq <= row.events_kept or f >= claim.fence]
        numbered = [replace(e, seq=row.events + place) for place, e in enumerate(events, 1)]
        self.events[claim.run.run_id] = kept + [(claim.fence, event) for event in numbered]
        row.events += len(events)

    def drop_run(self, run_id: str) -> None:
        del self.runs[run_id]
        self.events.pop(run_id, None)
        self.webhooks.pop(run_id, None)
        self.model_calls.drop_run(run_id)
        self.requests = {k: found for k, found in self.requests.items() if found[1] != run_id}

    def drop_connection(self, connection_id: str) -> None:
        self.connections.pop(connection_id, None)
        for key in [key for key in self.subscriptions if key[2] == connection_id]:
            del self.subscriptions[key]

    def add_thread(self, thread: Thread) -> ThreadRow:
        row = ThreadRow(thread, fence=self.highest_fence + 1)
        self.threads[thread.thread_id] = row
        return row

    def drop_thread(self, thread_id: str) -> None:
        self.highest_fence = max(self.highest_fence, self.threads.pop(thread_id).fence)
        self.shelves.pop(thread_id, None)
        for key in [key for key in self.subscriptions if key[0] == thread_id]:
            del self.subscriptions[key]
        self.crons = {k: cron for k, cron in self.crons.items() if cron.thread_id != thread_id}
        for run_id in [r.run_id for r in self.runs.values() if r.thread_id == thread_id]:
            self.drop_run(run_id)


class MemoryTables:
    """What the parts of the memory store share: the rows, the clock and the kill switch."""

    def __init__(
        self,
        tables: Tables | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        stopped: bool = False,
    ) -> None:
        self.tables = tables or Tables()
        self.clock = clock
        self.stopped = stopped

    def _owned(self, thread_id: str, owner: str) -> ThreadRow:
        row = self.tables.threads.get(thread_id)
        if row is None or row.thread.owner != owner:
            raise NotFound(f"thread {thread_id} does not exist")
        return row

    def _made(self, thread_id: str) -> ThreadRow:
        """The thread's row, made without an owner when it is missing."""
        if thread_id not in self.tables.threads:
            now = self.clock()
            thread = Thread(thread_id, "", ThreadStatus.IDLE, created_at=now, updated_at=now)
            self.tables.add_thread(thread)
        return self.tables.threads[thread_id]

    def _fenced(self, claim: Claim) -> ThreadRow:
        row = self.tables.threads.get(claim.thread_id)
        if row is None or row.fence != claim.fence:
            raise LostClaim(
                f"thread {claim.thread_id} step {claim.seq}: fence {claim.fence} is over"
            )
        return row

    def _run_of(self, run_id: str, thread_id: str, owner: str) -> Run:
        run = self.tables.runs.get(run_id)
        if run is None or (run.thread_id, run.owner) != (thread_id, owner):
            raise NotFound(f"run {run_id} does not exist on thread {thread_id}")
        return deepcopy(run)
