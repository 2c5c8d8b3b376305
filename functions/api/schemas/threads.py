"""What requests about threads may say, and what their answers look like."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from functions.api.schemas.fields import Limit, Offset, SortOrder
from functions.api.schemas.runs import Command
from graph.runtime.models import Json, ThreadQuery, ThreadStatus
from graph.runtime.retention import YEARS_10

THREAD_FIELDS = (
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
)
ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = r"^(values|metadata|config|interrupts)(\.[^.\[\]]+|\[-?[0-9]{1,9}\])*$"

ThreadIds = Annotated[list[UUID], Field(max_length=1000)]
ExtractPath = Annotated[str, StringConstraints(pattern=PATH, max_length=1000)]


def _aliases(paths: dict[str, Any]) -> dict[str, Any]:
    for alias in paths:
        if not ALIAS.fullmatch(alias) or alias in THREAD_FIELDS:
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


class ThreadSearch(ThreadFilter):
    """`extract` names parts of each thread: {"last": "values.messages[-1].content"}."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: (
        Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] | None
    ) = None
    sort_order: SortOrder = None
    select: list[Literal[THREAD_FIELDS]] | None = None  # type: ignore[valid-type]
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


class Usage(BaseModel):
    model_calls: int
    tool_calls: int
    tokens: int
    usd: float


class TtlAnswer(BaseModel):
    ttl_minutes: float
    strategy: str


class ThreadAnswer(BaseModel):
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


class Pruned(BaseModel):
    pruned_count: int
