"""Assistants, and what to search them by."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from graph.runtime.models.json import Json


@dataclass(frozen=True, slots=True)
class Assistant:
    """A graph with a configuration of its own, as one of its versions has it."""

    assistant_id: str
    owner: str
    graph_id: str
    name: str
    created_at: datetime  # of the version, where it is one of a list of versions
    updated_at: datetime
    config: Json = field(default_factory=dict)
    context: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    description: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class AssistantChange:
    """What an update says anew; None leaves it as it is, and metadata is merged."""

    graph_id: str | None = None
    config: Json | None = None
    context: Json | None = None
    metadata: Json | None = None
    name: str | None = None
    description: str | None = None


AssistantSort = Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"]


@dataclass(frozen=True, slots=True)
class AssistantQuery:
    """A search; unset fields match everything."""

    metadata: Json = field(default_factory=dict)
    graph_id: str | None = None
    name: str | None = None  # a part of it, in any case
    limit: int = 10
    offset: int = 0
    sort_by: AssistantSort = "created_at"
    descending: bool = True
