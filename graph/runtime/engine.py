"""What steps and clients' verbs work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from graph.runtime.ports import Graphs, Queue, Store

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
    allowed_types: tuple[tuple[str, str], ...] = ()  # that checkpoints may hold, (module, name)
    invocation: str = ""  # which invocation this is, for checkpoints' metadata and logs
    cut: CutPoint = uncut  # tests stop or kill the process where it is awaited
