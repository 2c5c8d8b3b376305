"""Connections that follow threads, and what they are told."""

from dataclasses import dataclass
from datetime import UTC, datetime

from graph.runtime.models.events import Event
from graph.runtime.models.json import Json
from graph.runtime.models.runs import RunStatus

LONGEST_CONNECTION = 7200.0  # seconds; API Gateway ends a WebSocket after two hours
MOST_SUBSCRIPTIONS = 100  # of one connection
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # before any run ended


@dataclass(frozen=True, slots=True)
class Connected:
    """Who is on a connection."""

    owner: str
    user: Json | None = None  # what the handlers of a project's auth are told, if it has any


@dataclass(frozen=True, slots=True)
class Wish:
    """What a connection wants to follow."""

    connection_id: str
    owner: str
    thread_id: str
    run_id: str = ""  # one run of the thread; empty: all of them
    since: int | None = None  # the last event it has; None: a thread from now on, a run from 0
    channels: tuple[str, ...] = ()  # none: all


@dataclass(frozen=True, slots=True)
class Subscription:
    """How far a connection has been told, taken by somebody who tells it more."""

    thread_id: str
    run_id: str
    connection_id: str
    channels: tuple[str, ...]
    cursor: int
    ended_after: datetime
    fence: int
    failures: int = 0  # pushes in a row that came to nothing
    over: bool = False  # the run it follows has ended, and it was told so


@dataclass(frozen=True, slots=True)
class RunEnd:
    run_id: str
    status: RunStatus
    ended_at: datetime
    error: Json | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What a thread's runs told after a number, in order, and which ended after a time."""

    upto: int  # the number these events reach
    events: tuple[tuple[str, Event], ...]  # (run_id, event)
    ends: tuple[RunEnd, ...]
    more: bool = False  # there was more than one page of events
