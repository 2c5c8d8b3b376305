"""How long a piece of work has waited for the database, for whoever asks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Stopwatch:
    """Seconds; statements that overlap count both."""

    seconds: float = 0.0


DATABASE: ContextVar[Stopwatch | None] = ContextVar("database", default=None)


@contextmanager
def database_time() -> Iterator[None]:
    """Count the block as time with the database, if somebody has set a stopwatch."""
    watch = DATABASE.get()
    if watch is None:
        yield
        return
    started = time.perf_counter()
    try:
        yield
    finally:
        watch.seconds += time.perf_counter() - started
