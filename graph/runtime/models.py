"""The engine's nouns: threads, runs, claims and what a step leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from graph.usage import NOTHING, Spent, Totals

Json = dict[str, Any]


class ThreadStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class RunStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        return self not in (RunStatus.PENDING, RunStatus.RUNNING)


class Verdict(StrEnum):
    """What `claim` says to a message."""

    YOURS = "yours"
    DUPLICATE = "duplicate"  # that step is done
    BUSY = "busy"  # that step is leased to somebody
    EARLY = "early"  # the thread has not come that far
    ASLEEP = "asleep"  # the step is not due yet
    STOPPED = "stopped"  # the kill switch is on
    GONE = "gone"  # there is no such thread


@dataclass(frozen=True, slots=True)
class StepJob:
    """A queue message: a pointer to a thread's next step, never state."""

    thread_id: str
    seq: int
    redelivered: bool = False  # received before, or a delayed copy of a refused message


@dataclass(frozen=True, slots=True)
class Thread:
    thread_id: str
    owner: str
    status: ThreadStatus
    created_at: datetime
    updated_at: datetime
    metadata: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    interrupts: Json = field(default_factory=dict)  # task id -> [{"value", "id"}]
    error: Json | None = None
    head: str | None = None  # newest checkpoint of the root graph
    seq: int = 0
    active_run_id: str | None = None
    queued: tuple[str, ...] = ()  # runs waiting for their turn, in order
    ttl_minutes: float | None = None
    ttl_strategy: str | None = None  # delete | keep_latest
    spent: Totals = NOTHING  # by its runs, those that are gone too


@dataclass(frozen=True, slots=True)
class Run:
    run_id: str
    thread_id: str
    owner: str
    assistant_id: str
    graph_id: str
    status: RunStatus
    created_at: datetime
    updated_at: datetime
    metadata: Json = field(default_factory=dict)
    # What the client asked for: input, command, config, context, checkpoint_id,
    # interrupt_before, interrupt_after, and what later features need.
    kwargs: Json = field(default_factory=dict)
    multitask_strategy: str = "enqueue"
    input_applied: bool = False  # the input is in a checkpoint; go on with none
    stop_at: int | None = None  # the last LangGraph step its recursion limit allows
    head: str | None = None  # newest checkpoint when it ended
    error: Json | None = None  # {"error": type, "message": text}
    spent: Totals = NOTHING


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One large channel value; `blob_id` is a hash of its content."""

    blob_id: bytes
    kind: str  # serde type: msgpack, bytes, null, ...
    data: bytes


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One checkpoint as stored: `body` holds all but the large channel values."""

    ns: str
    checkpoint_id: str
    parent_id: str | None
    metadata: Json
    body: bytes
    blob_ids: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteRow:
    """One pending write of one task of the superstep after `checkpoint_id`."""

    ns: str
    checkpoint_id: str
    task_id: str
    task_path: str
    idx: int
    channel: str
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint read back, with its blobs and pending writes."""

    row: CheckpointRow
    blobs: Mapping[bytes, BlobRow] = field(default_factory=dict)
    writes: tuple[WriteRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """What a step adds to the checkpoint store; checkpoints oldest first."""

    checkpoints: tuple[CheckpointRow, ...] = ()
    blobs: tuple[BlobRow, ...] = ()
    writes: tuple[WriteRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to take one step of one thread, and what it starts from."""

    thread_id: str
    owner: str
    seq: int
    fence: int
    attempts: int  # claims since the thread last came on, this one included
    head: str | None
    run: Run | None  # None: a client edits the state, no run is active
    stored: Stored | None
    spent: Totals = NOTHING  # by all of the thread's runs so far


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message got no claim, and where the thread stands."""

    verdict: Verdict
    seq: int = 0
    active: bool = False
    leased_for: float = 0.0  # seconds until the live lease ends
    due_in: float = 0.0  # seconds until the thread may be stepped
    owner: str = ""


class Ending(StrEnum):
    """How a superstep left the run."""

    MORE = "more"  # a superstep is done, more follow
    PARTIAL = "partial"  # time ran out inside the superstep, part of it is saved
    LATER = "later"  # a node asked to be run again later
    AGAIN = "again"  # time ran out and nothing came of it: one attempt less
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    TIMEOUT = "timeout"

    @property
    def ends_run(self) -> bool:
        return self.run_status is not None

    @property
    def completes_step(self) -> bool:
        return self not in (Ending.PARTIAL, Ending.LATER, Ending.AGAIN)

    @property
    def run_status(self) -> RunStatus | None:
        """What becomes of the run, None while it goes on."""
        return _RUN_ENDS_AS.get(self)

    @property
    def thread_status(self) -> ThreadStatus | None:
        """What becomes of a thread with no other run waiting, None while the run goes on."""
        return _THREAD_RESTS_AS.get(self)


_RUN_ENDS_AS = {
    Ending.DONE: RunStatus.SUCCESS,
    Ending.INTERRUPTED: RunStatus.INTERRUPTED,
    Ending.FAILED: RunStatus.ERROR,
    Ending.TIMEOUT: RunStatus.TIMEOUT,
}
_THREAD_RESTS_AS = {
    Ending.DONE: ThreadStatus.IDLE,
    Ending.INTERRUPTED: ThreadStatus.INTERRUPTED,
    Ending.FAILED: ThreadStatus.ERROR,
    Ending.TIMEOUT: ThreadStatus.ERROR,
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something a run tells those who follow it: a name and JSON text."""

    name: str
    data: bytes
    seq: int = 0  # its number among the thread's events, given by the store


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one superstep did, ready to be saved in one statement."""

    ending: Ending
    rows: Rows = Rows()
    head: str | None = None  # newest root checkpoint, None if the step made none
    input_applied: bool = False
    stop_at: int | None = None
    interrupts: Json = field(default_factory=dict)
    error: Json | None = None
    wake_in: float | None = None  # seconds until the thread may be stepped again
    tasks: tuple[str, ...] = ()  # names of the nodes that ran, for the log
    spent: tuple[Spent, ...] = ()  # by the model calls that were made
    events: tuple[Event, ...] | None = None  # None: the run has no events, or this attempt none


@dataclass(frozen=True, slots=True)
class Advanced:
    """Where the thread stands after a save: the job to ring next, if any."""

    next_job: StepJob | None
    delay: float = 0.0  # seconds until that job is due


@dataclass(frozen=True, slots=True)
class NewRun:
    """A client's request for a run; `run_id` is chosen by the caller."""

    run_id: str
    thread_id: str
    owner: str
    assistant_id: str
    graph_id: str
    kwargs: Json
    metadata: Json = field(default_factory=dict)
    multitask_strategy: str = "enqueue"
    idempotency_key: str | None = None
    request_hash: str | None = None  # tells a repeated request from a reused key
    delay: float = 0.0  # seconds before its first step, if it need not wait for its turn

    @property
    def belongs(self) -> Json:
        """What the thread's metadata tells of the graph its state is of."""
        return {"graph_id": self.graph_id, "assistant_id": self.assistant_id}


@dataclass(frozen=True, slots=True)
class Created:
    """A run that was accepted: the job to ring, None if it waits for its turn."""

    run: Run
    job: StepJob | None
    repeated: bool = False  # an earlier request with the same Idempotency-Key made it


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """A search; unset fields match everything."""

    metadata: Json = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    status: ThreadStatus | None = None
    limit: int = 10
    offset: int = 0
    sort_by: str = "created_at"  # thread_id | status | created_at | updated_at
    descending: bool = True
