"""What the engine needs from the outside; each has an adapter and a memory double."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from graph.runtime.heard import Heard
from graph.runtime.models import (
    Advanced,
    Claim,
    Created,
    Event,
    Json,
    NewRun,
    Refusal,
    Rows,
    Run,
    RunStatus,
    StepJob,
    StepResult,
    Stored,
    Thread,
    ThreadQuery,
)
from graph.usage import Spent


class StepStore(Protocol):
    """The step protocol. Each call is one statement; leases are judged by the store's clock."""

    async def claim(
        self, job: StepJob, *, lease: float, now: datetime | None = None
    ) -> Claim | Refusal:
        """Take the step's lease and load what it starts from, or say why not."""
        ...

    async def hold(self, thread_id: str, owner: str, *, lease: float) -> Claim:
        """Take the lease of a thread no run is active on, to edit its state.

        Raises NotFound, or Conflict while a run is active or another edit holds it.
        """
        ...

    async def save(self, claim: Claim, rows: Rows, *, input_applied: bool) -> None:
        """Keep what finished tasks did while their siblings run on; raises LostClaim."""
        ...

    async def advance(self, claim: Claim, result: StepResult) -> Advanced:
        """Save a step, release the lease and move the thread on; raises LostClaim.

        If the run ended, the thread's next queued run becomes active.
        """
        ...

    async def charge(self, claim: Claim, spent: Sequence[Spent]) -> None:
        """Record what a claim that was lost has spent: no fence refuses it. Safe to repeat."""
        ...


class EventStore(Protocol):
    """What runs tell; numbered per thread, rising, without regard to who reads."""

    async def tell(self, claim: Claim, events: Sequence[Event]) -> None:
        """Store events of a step that is still running; raises LostClaim.

        What an earlier attempt at the step told, and died, is gone with the first of them.
        """
        ...

    async def heard(self, after: Mapping[str, int], *, limit: int = 100) -> list[Heard]:
        """What the runs that exist told after these numbers, whoever owns them.

        For readers, after get_run.
        """
        ...


class CheckpointStore(Protocol):
    """Checkpoint rows by thread, with no claim: for readers, and for tools that own the thread."""

    async def load(self, thread_id: str, ns: str, checkpoint_id: str | None) -> Stored | None:
        """One checkpoint, the newest of the namespace when no id is given."""
        ...

    async def history(
        self,
        thread_id: str | None,
        ns: str | None,
        *,
        before: str | None = None,
        metadata: Json | None = None,
        limit: int | None = None,
    ) -> list[tuple[str, Stored]]:
        """(thread_id, checkpoint) pairs, newest first."""
        ...

    async def put(self, thread_id: str, rows: Rows) -> None:
        """Store rows unfenced; the thread's row is made when it is missing."""
        ...

    async def delete_checkpoints(
        self, *, thread_id: str | None = None, run_ids: Sequence[str] = ()
    ) -> None:
        """Drop a thread's checkpoints, or those the runs made."""
        ...

    async def copy_checkpoints(self, source: str, target: str) -> None: ...

    async def keep_latest(self, thread_ids: Sequence[str]) -> None:
        """Drop all but each namespace's newest checkpoint and what it needs."""
        ...


class ThreadStore(Protocol):
    """Threads, for clients; an owner never sees another's."""

    async def create_thread(self, thread: Thread, *, if_exists: str = "raise") -> Thread:
        """Raises Conflict when it exists and `if_exists` is not "do_nothing"."""
        ...

    async def get_thread(self, thread_id: str, owner: str) -> Thread:
        """Raises NotFound."""
        ...

    async def search_threads(self, owner: str, query: ThreadQuery) -> tuple[list[Thread], int]:
        """One page and the number of all matches."""
        ...

    async def update_thread(
        self,
        thread_id: str,
        owner: str,
        *,
        metadata: Json | None = None,
        ttl: tuple[float, str] | None = None,
    ) -> Thread:
        """Merge metadata, set (minutes, strategy); raises NotFound."""
        ...

    async def delete_thread(self, thread_id: str, owner: str) -> None:
        """Drop the thread and all it owns; a step in flight loses its claim. Raises NotFound."""
        ...


class RunStore(Protocol):
    """Runs, for clients; an owner never sees another's."""

    async def create_run(self, new: NewRun) -> Created:
        """Accept a run: active at once on an idle thread, queued behind another on a busy one.

        Raises NotFound without the thread; Conflict on a busy thread with `reject`, on a resume
        of a thread that waits for nothing, or when the Idempotency-Key came with another body.
        """
        ...

    async def get_run(self, run_id: str, thread_id: str, owner: str) -> Run:
        """Raises NotFound."""
        ...

    async def runs_by_id(self, run_ids: Sequence[str]) -> list[Run]:
        """Those of the runs that exist, whoever owns them: for `follow`, after get_run."""
        ...

    async def list_runs(
        self, thread_id: str, owner: str, *, status: RunStatus | None, limit: int, offset: int
    ) -> list[Run]:
        """Newest first; raises NotFound without the thread."""
        ...

    async def cancel_run(self, run_id: str, thread_id: str, owner: str) -> Advanced:
        """End a pending or running run as `interrupted`; a step in flight loses its claim.

        Returns what to ring for the next queued run. Raises NotFound, Conflict when it has ended.
        """
        ...

    async def delete_run(self, run_id: str, thread_id: str, owner: str) -> None:
        """Raises NotFound, Conflict while it is pending or running."""
        ...


class SweepStore(Protocol):
    """Bounded batches of housekeeping, each one statement and safe to run twice at once."""

    async def overdue(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[StepJob, str]]:
        """Active, unleased, due threads nothing has rung for `grace` seconds, with their owners.

        Marks them rung.
        """
        ...

    async def expire_threads(self, *, limit: int, now: datetime | None = None) -> int:
        """Delete idle threads past their TTL; how many."""
        ...

    async def stale_threads(self, *, limit: int, now: datetime | None = None) -> list[str]:
        """Idle threads past a `keep_latest` TTL that still have history."""
        ...

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        """Delete runs that ended `older_than` seconds ago; how many."""
        ...


class Store(StepStore, EventStore, CheckpointStore, ThreadStore, RunStore, SweepStore, Protocol):
    """All of it, as Postgres and the memory double offer it."""


class Queue(Protocol):
    """The doorbell: at least once, in any order."""

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        """Ring after `delay` seconds (capped at what the queue allows); raises Unavailable."""
        ...


class Graphs(Protocol):
    """The project's compiled graphs by name."""

    def names(self) -> Sequence[str]: ...

    async def load(self, graph_id: str, config: Json) -> Any:
        """A compiled graph without a checkpointer; raises BadProject."""
        ...
