"""What steps and clients' verbs work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from graph.runtime.feed import Feed
from graph.runtime.models import Json
from graph.runtime.ports import Graphs, LongTerm, Notices, Queue, Store
from graph.runtime.retention import Retention
from graph.runtime.warm import WarmThreads

CutPoint = Callable[[str], Awaitable[None]]


async def uncut(name: str) -> None:
    """The cut point of production: nothing happens."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The engine's surroundings; built once per process."""

    store: Store
    queue: Queue
    graphs: Graphs
    max_attempts: int = 3
    steps_per_invocation: int = 1
    inline_seconds: float = 5.0  # after which an invocation begins no further step
    most_unfinished: int = 0  # runs of an owner; 0: no limit
    budget: Json = field(default_factory=dict)  # the ceilings of runs that ask for no others
    retention: Retention = field(
        default_factory=Retention
    )  # what threads keep that say nothing else
    allowed_types: tuple[tuple[str, str], ...] = ()  # that checkpoints may hold, (module, name)
    invocation: str = ""  # which invocation this is, for checkpoints' metadata and logs
    notices: Notices | None = None  # to those outside; without, nobody there is told
    long_term: LongTerm | None = None  # without, graphs are given no store
    warm: WarmThreads[Any] = field(default_factory=WarmThreads)
    feed: Feed | None = None  # to readers in this process, whose run is stepped here
    cut: CutPoint = uncut  # tests stop or kill the process where it is awaited
