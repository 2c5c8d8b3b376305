"""What requests about threads may say, and what their answers look like."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from functions.api.schemas.answers import Answer
from functions.api.schemas.fields import Sorted
from functions.api.schemas.runs import Command
from graph.runtime.models import Json, ThreadQuery, ThreadSort, ThreadStatus
from graph.runtime.retention import YEARS_10

ThreadField = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "metadata",
    "config",
    "context",
    "status",
    "values",
    "interrupts",
    "error",
    "usage",
    "ttl",
]
ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = r"^(values|metadata|config|interrupts)(\.[^.\[\]]+|\[-?[0-9]{1,9}\])*$"

ThreadIds = Annotated[list[UUID], Field(max_length=1000)]
ExtractPath = Annotated[str, StringConstraints(pattern=PATH, max_length=1000)]


def _aliases(paths: dict[str, Any]) -> dict[str, Any]:
    for alias in paths:
        if not ALIAS.fullmatch(alias) or alias in get_args(ThreadField):
            raise ValueError(f"{alias!r} must be a name of letters, digits and _ that is not taken")
    return paths


class Ttl(BaseModel):
    """How long an idle thread lives, in minutes; or that number alone."""

    ttl: float = Field(gt=0, le=YEARS_10)
    strategy: Literal["delete", "keep_latest"] = "delete"

    @model_validator(mode="before")
    @classmethod
    def _of_a_number(cls, value: Any) -> Any:
        return {"ttl": value} if isinstance(value, int | float) else value


class StateWrite(BaseModel):
    """What a node is said to have done: returned these values, or this command."""

    values: dict[str, Any] | list[Any] | None = None
    command: Command | None = None
    as_node: str | None = None


class Superstep(BaseModel):
    updates: Annotated[list[StateWrite], Field(min_length=1, max_length=1000)]


class ThreadCreate(BaseModel):
    """`supersteps` is how a new thread's state came about; they are of the graph `graph_id`."""

    thread_id: UUID | None = None
    metadata: Json | None = None
    if_exists: Literal["raise", "do_nothing"] = "raise"
    graph_id: str | None = None
    ttl: Ttl | None = None
    supersteps: Annotated[list[Superstep], Field(max_length=1000)] | None = None


class ThreadUpdate(BaseModel):
    metadata: Json | None = None
    ttl: Ttl | None = None


class ThreadFilter(BaseModel):
    """Which threads are meant; `values` are contained in the newest state."""

    metadata: Json | None = None
    status: ThreadStatus | None = None
    ids: ThreadIds | None = None
    values: Json | None = None

    def query(self, **page: Any) -> ThreadQuery:
        ids = tuple(str(thread_id) for thread_id in self.ids or ())
        return ThreadQuery(metadata=self.metadata or {}, ids=ids, status=self.status, **page)


class ThreadSearch(ThreadFilter, Sorted):
    """`extract` names parts of each thread: {"last": "values.messages[-1].content"}."""

    sort_by: ThreadSort | None = None
    select: list[ThreadField] | None = None
    extract: Annotated[
        dict[str, ExtractPath] | None,
        Field(max_length=10),
        AfterValidator(lambda p: p and _aliases(p)),
    ] = None

    @property
    def needs_values(self) -> bool:
        extracts = (self.extract or {}).values()
        return "values" in (self.select or ["values"]) or any(
            p.startswith("values") for p in extracts
        )


class ThreadPrune(BaseModel):
    """`keep_latest` drops the history of those that are idle."""

    thread_ids: ThreadIds
    strategy: Literal["delete", "keep_latest"] = "delete"


class Usage(Answer):
    model_calls: int
    tool_calls: int
    tokens: int
    usd: float


class TtlAnswer(Answer):
    ttl_minutes: float
    strategy: str


class ThreadAnswer(Answer):
    thread_id: UUID
    created_at: datetime
    updated_at: datetime
    metadata: Json
    status: ThreadStatus
    config: Json
    values: Any
    interrupts: dict[str, list[Json]]
    error: Json | None
    usage: Usage
    ttl: TtlAnswer | None


class Pruned(Answer):
    pruned_count: int
