"""What requests about assistants and threads may say; what they may say besides is ignored."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from graph.runtime.models import Json, ThreadQuery, ThreadStatus

YEARS_10 = 10 * 366 * 24 * 60  # minutes; a longer interval would overflow somewhere one day

Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=10**9)]
SortOrder = Literal["asc", "desc"] | None


def _refuse(value: Any) -> None:
    if value:
        raise ValueError("it is not available yet: leave it out")


# A field that would promise something Baton does not keep yet; null and false promise nothing.
Later = Annotated[Any, AfterValidator(_refuse)]


class AssistantSearch(BaseModel):
    metadata: Json = {}
    graph_id: str | None = None
    name: str | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"] | None = None
    sort_order: SortOrder = None
    select: list[str] | None = None


class Ttl(BaseModel):
    """How long an idle thread lives, in minutes; or that number alone."""

    ttl: float = Field(gt=0, le=YEARS_10)
    strategy: Literal["delete", "keep_latest"] = "delete"

    @model_validator(mode="before")
    @classmethod
    def _of_a_number(cls, value: Any) -> Any:
        return {"ttl": value} if isinstance(value, int | float) else value


class ThreadCreate(BaseModel):
    thread_id: UUID | None = None
    metadata: Json | None = None
    if_exists: Literal["raise", "do_nothing"] = "raise"
    graph_id: str | None = None
    ttl: Ttl | None = None
    supersteps: Later = None


class ThreadUpdate(BaseModel):
    metadata: Json | None = None
    ttl: Ttl | None = None


class ThreadFilter(BaseModel):
    """Which threads are meant."""

    metadata: Json | None = None
    status: ThreadStatus | None = None
    ids: list[UUID] | None = Field(None, max_length=1000)
    values: Later = None

    def query(self, **page: Any) -> ThreadQuery:
        ids = tuple(str(thread_id) for thread_id in self.ids or ())
        return ThreadQuery(metadata=self.metadata or {}, ids=ids, status=self.status, **page)


class ThreadSearch(ThreadFilter):
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at"] | None = None
    sort_order: SortOrder = None
    select: list[str] | None = None
    extract: Later = None


class CheckpointRef(BaseModel):
    """A checkpoint as clients name it; which thread it is of, the path says."""

    checkpoint_id: UUID | None = None
    checkpoint_ns: str | None = None
    checkpoint_map: Json | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_config(cls, value: Any) -> Any:
        """The JavaScript client names one by LangGraph's config."""
        return value.get("configurable", value) if isinstance(value, dict) else value


class StateAt(BaseModel):
    checkpoint: CheckpointRef
    subgraphs: bool = False


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
