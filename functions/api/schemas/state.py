"""What requests about a thread's state may say, and what their answers look like."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from functions.api.schemas.answers import Answer
from functions.api.schemas.fields import CheckpointRef, Limit
from graph.runtime.models import Json

STATE_FIELDS = "next|tasks|checkpoint|metadata|created_at|parent_checkpoint|interrupts"
StateField = Annotated[str, StringConstraints(pattern=rf"^({STATE_FIELDS}|values(\..+)?)$")]


class StateAt(BaseModel):
    checkpoint: CheckpointRef
    subgraphs: bool = False
    select: list[StateField] | None = None


class StateUpdate(BaseModel):
    values: dict[str, Any] | list[Any] | None = None
    as_node: str | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: UUID | None = None


class HistoryQuery(BaseModel):
    limit: Limit = 10
    before: UUID | CheckpointRef | None = None
    metadata: Json | None = None
    checkpoint: CheckpointRef | None = None
    select: list[StateField] | None = None


class CheckpointAnswer(Answer):
    thread_id: UUID
    checkpoint_ns: str | None
    checkpoint_id: str | None
    checkpoint_map: Json | None


class TaskAnswer(Answer):
    id: str
    name: str
    path: Any
    error: str | None
    interrupts: list[Json]
    checkpoint: CheckpointAnswer | None
    state: "StateAnswer | None"
    result: Any


class StateAnswer(Answer):
    values: Any
    next: list[str]
    tasks: list[TaskAnswer]
    checkpoint: CheckpointAnswer | None
    metadata: Json | None
    created_at: str | None
    parent_checkpoint: CheckpointAnswer | None
    interrupts: list[Json]
    checkpoint_id: str | None
    parent_checkpoint_id: str | None


class UpdateAnswer(Answer):
    checkpoint: CheckpointAnswer
    configurable: CheckpointAnswer
    checkpoint_id: str
