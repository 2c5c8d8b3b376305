"""Runs, and the request for one."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from graph.runtime.models.jobs import StepJob
from graph.runtime.models.json import Json
from graph.usage import NOTHING, Totals


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
