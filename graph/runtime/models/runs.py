"""Runs, and the request for one."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from graph.runtime.models.jobs import StepJob
from graph.runtime.models.json import Json
from graph.usage import NOTHING, Totals

DISPLACING = ("interrupt", "rollback")  # the strategies that end what they find
INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")


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


class Asking:
    """What is asked of the thread's questions, accepted or not yet."""

    __slots__ = ()
    kwargs: Json

    @property
    def resumes(self) -> bool:
        """Whether it answers what the thread waits with."""
        return "resume" in (self.kwargs.get("command") or {})

    @property
    def strict(self) -> bool:
        """Whether an answer to a question that is not asked is refused."""
        return self.resumes and bool(self.kwargs.get("strict_resume"))

    @property
    def answers(self) -> tuple[str, ...] | None:
        """The questions it answers by their ids; None for one answer to whatever is asked."""
        resume = (self.kwargs.get("command") or {}).get("resume")
        if not isinstance(resume, dict) or not all(INTERRUPT_ID.fullmatch(key) for key in resume):
            return None
        return tuple(resume)


@dataclass(frozen=True, slots=True)
class Run(Asking):
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
    ended_at: datetime | None = None
    failures: int = 0  # of model calls, in the step that it waits for


@dataclass(frozen=True, slots=True)
class NewRun(Asking):
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
    delay: float = 0.0  # seconds before its first step
    if_match: str | None = None  # the checkpoint that its thread's state must be at
    # Of a thread that is made for it: its TTL (minutes, strategy), and its metadata.
    thread_ttl: tuple[float, str] | None = None
    thread_metadata: Json = field(default_factory=dict)
    most_unfinished: int = 0  # runs that its owner may have with it; 0: no limit

    @property
    def belongs(self) -> Json:
        """What the thread's metadata tells of the graph its state is of."""
        return {"graph_id": self.graph_id, "assistant_id": self.assistant_id}

    @property
    def displaces(self) -> bool:
        """Whether it ends the runs that it finds on its thread."""
        return self.multitask_strategy in DISPLACING

    @property
    def undoes(self) -> bool:
        """Whether it undoes them."""
        return self.multitask_strategy == "rollback"


@dataclass(frozen=True, slots=True)
class Created:
    """A run that was accepted: the job to ring, None if it waits for its turn."""

    run: Run
    job: StepJob | None
    repeated: bool = False  # an earlier request with the same Idempotency-Key made it
    ended: tuple[str, ...] = ()  # the runs in whose place it is
