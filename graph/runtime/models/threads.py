"""Threads, and what to search them by."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from graph.runtime.models.json import Json
from graph.usage import NOTHING, Totals


class ThreadStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"


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


ThreadSort = Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"]


@dataclass(frozen=True, slots=True)
class ThreadQuery:
    """A search; unset fields match everything."""

    metadata: Json = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    status: ThreadStatus | None = None
    limit: int = 10
    offset: int = 0
    sort_by: ThreadSort = "created_at"
    descending: bool = True
