"""Crons: runs that a clock asks for."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from graph.runtime.models.json import Json
from graph.runtime.models.runs import NewRun


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule and the run it asks for; on a thread of its own each time without `thread_id`."""

    cron_id: str
    owner: str
    assistant_id: str
    schedule: str  # five fields
    created_at: datetime
    updated_at: datetime
    thread_id: str | None = None
    timezone: str | None = None  # an IANA name; None is UTC
    end_time: datetime | None = None
    enabled: bool = True
    on_run_completed: str | None = None  # delete | keep, of the threads it makes
    metadata: Json = field(default_factory=dict)
    payload: Json = field(default_factory=dict)  # the run as the client asks for it
    kwargs: Json = field(default_factory=dict)  # the same as the engine is told
    multitask_strategy: str = "enqueue"
    next_run_date: datetime | None = None  # None: it will not fire
    error: Json | None = None  # why its last due time made no run
    stamp: Json = field(default_factory=dict)  # metadata that the threads it makes must carry
    made_assistant: str | None = None  # if a client made it: it goes with that one


CronSort = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "created_at",
    "updated_at",
    "next_run_date",
    "end_time",
]


@dataclass(frozen=True, slots=True)
class CronQuery:
    """A search; unset fields match everything."""

    assistant_id: str | None = None
    thread_id: str | None = None
    enabled: bool | None = None
    metadata: Json = field(default_factory=dict)
    limit: int = 10
    offset: int = 0
    sort_by: CronSort = "created_at"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Firing:
    """One due time of a cron, the run that it makes, and when the next one is."""

    cron: Cron
    new: NewRun
    next_run_date: datetime | None
