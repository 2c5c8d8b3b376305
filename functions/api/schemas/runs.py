"""What a client may ask of a run."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from functions.api.schemas.answers import Answer
from functions.api.schemas.fields import CheckpointRef
from graph.runtime.models import Json, RunStatus

YEAR = 366 * 86400  # seconds
OURS = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")
# Of a request, as they came.
KEPT = ("input", "context", "interrupt_before", "interrupt_after", "webhook", "strict_resume")


def _nobodys_but_ours(configurable: Json) -> Json:
    for key in configurable:
        if key.startswith("__") or key in OURS:
            raise ValueError(f"{key} is not for clients to set")
    return configurable


Nodes = Literal["*"] | list[str] | None
Strategy = Literal["enqueue", "reject", "interrupt", "rollback"]
OnDisconnect = Literal["cancel", "continue"]


class Send(BaseModel):
    """A node to go to with an input of its own."""

    node: str
    input: Any = None


class Command(BaseModel):
    """LangGraph's Command; `resume` may be anything, so it counts as given when it is there."""

    update: dict[str, Any] | list[tuple[str, Any]] | None = None
    resume: Any = None
    goto: str | Send | list[str | Send] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set & {"update", "resume", "goto"}:
            raise ValueError("it needs resume, update or goto")
        return self


class RunConfig(BaseModel):
    """LangGraph's config, as far as clients have a say in it."""

    model_config = ConfigDict(extra="allow")

    configurable: Annotated[Json, AfterValidator(_nobodys_but_ours)] = {}
    recursion_limit: int | None = Field(None, ge=1, le=1_000_000)
    max_concurrency: int | None = Field(None, ge=1, le=1_000_000)
    tags: list[str] | None = None


def _as_list(modes: Any) -> Any:
    return [modes] if isinstance(modes, str) else modes


Mode = Literal[
    "values",
    "updates",
    "messages",
    "messages-tuple",
    "custom",
    "debug",
    "tasks",
    "checkpoints",
    "events",
    "tools",
    "progress",
]


class RunCreate(BaseModel):
    """What a client asks of a run on a thread.

    `durability` (`checkpoint_during` in its day), tracing and feedback keys may be asked for, and
    make no difference: every superstep is saved before the next begins, as `sync` says, and its
    checkpoint stays, whatever was asked.

    What is kept for those who follow the run later is what `stream_mode` names. The Python client
    names `values` when it is told nothing: that alone counts if the stream is to be resumable.
    """

    assistant_id: str
    input: Any = None
    command: Command | None = None
    config: RunConfig | None = None
    context: Json | None = None
    metadata: Json | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: UUID | None = None
    interrupt_before: Nodes = None
    interrupt_after: Nodes = None
    multitask_strategy: Strategy = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    after_seconds: float = Field(0, ge=0, le=YEAR)
    stream_mode: Annotated[list[Mode] | None, BeforeValidator(_as_list)] = Field(
        None,
        description="What of the run is told, each as events of that name: LangGraph's modes, "
        "`events` (LangChain's callbacks), `tools` (their calls, with milliseconds) and `progress` "
        "(step n of a known maximum, and what nodes report).",
    )
    stream_subgraphs: bool = False
    stream_resumable: bool = False
    webhook: str | None = Field(None, max_length=2048, description="POSTed to when it ends")
    strict_resume: bool | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None
    feedback_keys: list[str] | None = None
    langsmith_tracer: Json | None = None

    @model_validator(mode="after")
    def _one_way_to_start(self) -> Self:
        if self.command is not None and self.input is not None:
            raise ValueError("input and command exclude each other")
        if self.checkpoint and self.checkpoint.checkpoint_ns:
            raise ValueError("a run starts from a checkpoint of the root graph: no checkpoint_ns")
        if self.strict_resume and self.command is not None and self.command.resume == {}:
            raise ValueError("strict_resume: command.resume names no question")
        return self

    @property
    def is_followed(self) -> bool:
        return self.stream_resumable or self.stream_mode != ["values"]

    @property
    def kwargs(self) -> Json:
        """What the engine is told of the run."""
        asked: Json = {key: getattr(self, key) for key in KEPT}
        asked["config"] = self.config and self.config.model_dump(exclude_none=True)
        asked["command"] = self.command and self.command.model_dump(exclude_unset=True)
        named = self.checkpoint_id or (self.checkpoint and self.checkpoint.checkpoint_id)
        asked["checkpoint_id"] = named and str(named)
        asked["stream_mode"] = (self.stream_mode or None) if self.is_followed else None
        asked["stream_subgraphs"] = self.stream_subgraphs or None
        return {key: value for key, value in asked.items() if value is not None}


class RunWait(RunCreate):
    """A run that its client waits for."""

    on_disconnect: OnDisconnect = "continue"


class RunStream(RunCreate):
    """A run that its client follows."""

    stream_mode: Annotated[list[Mode], BeforeValidator(_as_list)] = ["values"]
    on_disconnect: OnDisconnect = "continue"

    @property
    def is_followed(self) -> bool:
        return True


class Alone(RunCreate):
    """A run without a thread that its client knows of."""

    on_completion: Literal["delete", "keep"] = "delete"

    @model_validator(mode="after")
    def _from_nothing(self) -> Self:
        for field in ("checkpoint", "checkpoint_id"):
            if getattr(self, field) is not None:
                raise ValueError(f"{field}: a run without a thread has no checkpoint to start from")
        if self.command and "resume" in self.command.model_fields_set:
            raise ValueError("command.resume: a run without a thread has nothing to resume")
        return self


class AloneWait(Alone, RunWait):
    """Such a run that its client waits for."""


class AloneStream(Alone, RunStream):
    """Such a run that its client follows."""


class RunsCancel(BaseModel):
    """Which runs to cancel: a thread's, or some by their ids, or all of a status."""

    thread_id: UUID | None = None
    run_ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None
    status: Literal["pending", "running", "all"] | None = None

    @model_validator(mode="after")
    def _one_way_to_name_them(self) -> Self:
        by_id = self.thread_id is not None or self.run_ids is not None
        if by_id and self.status is not None:
            raise ValueError("status excludes thread_id and run_ids")
        if not by_id and self.status is None:
            raise ValueError("it needs thread_id, run_ids or status")
        return self


class Usage(Answer):
    """What calls of models and tools have spent."""

    model_calls: int
    tool_calls: int
    tokens: int
    usd: float


class RunAnswer(Answer):
    """A run; `kwargs` is what was asked of it."""

    run_id: UUID
    thread_id: UUID
    assistant_id: UUID
    created_at: datetime
    updated_at: datetime
    status: RunStatus
    metadata: Json
    kwargs: Json
    multitask_strategy: Strategy
    error: Json | None
    usage: Usage
