"""What requests about assistants may say, and what their answers look like."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from functions.api.schemas.answers import Answer
from functions.api.schemas.fields import Limit, Offset, Sorted
from functions.api.schemas.runs import RunConfig
from graph.runtime.models import AssistantChange, AssistantQuery, AssistantSort, Json

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
AssistantField = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "created_at",
    "updated_at",
    "metadata",
    "version",
]


class AssistantUpdate(BaseModel):
    """`context` and `config.configurable` are the same under an old and a new name."""

    graph_id: str | None = None
    config: RunConfig | None = None
    context: Json | None = None
    metadata: Json | None = None
    name: Text | None = None
    description: Annotated[str, Field(max_length=10_000)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.context and self.config and self.config.configurable:
            raise ValueError("context and config.configurable exclude each other: use context")
        return self

    @property
    def change(self) -> AssistantChange:
        config, context = None, self.context
        if self.config is not None:
            config = self.config.model_dump(exclude_none=True, exclude_unset=True)
        if config and config.get("configurable"):
            context = config["configurable"]
        elif context:
            config = {**(config or {}), "configurable": context}
        return AssistantChange(
            graph_id=self.graph_id,
            config=config,
            context=context,
            metadata=self.metadata,
            name=self.name,
            description=self.description,
        )


class AssistantCreate(AssistantUpdate):
    graph_id: str
    assistant_id: UUID | None = None
    if_exists: Literal["raise", "do_nothing"] = "raise"


class AssistantFilter(BaseModel):
    """Which assistants are meant."""

    metadata: Json | None = None
    graph_id: str | None = None
    name: Annotated[str | None, Field(description="a part of it, in any case")] = None

    def query(self, **page: Any) -> AssistantQuery:
        metadata = self.metadata or {}
        return AssistantQuery(metadata=metadata, graph_id=self.graph_id, name=self.name, **page)


class AssistantSearch(AssistantFilter, Sorted):
    sort_by: AssistantSort | None = None
    select: list[AssistantField] | None = None


class VersionSearch(BaseModel):
    metadata: Json | None = None
    limit: Limit = 10
    offset: Offset = 0


class VersionChoice(BaseModel):
    version: Version


class AssistantAnswer(Answer):
    assistant_id: UUID
    graph_id: str
    name: str
    description: str | None
    config: Json
    context: Json
    metadata: Json
    version: Version
    created_at: datetime
    updated_at: datetime


class GraphAnswer(Answer):
    """A graph as nodes and edges."""

    nodes: list[Json]
    edges: list[Json]


class SchemasAnswer(Answer):
    """JSON schemas; null where a graph's types have none."""

    graph_id: str | None
    input_schema: Json | None
    output_schema: Json | None
    state_schema: Json | None
    config_schema: Json | None
    context_schema: Json | None
