"""What `make e2e` measured, as it is printed at its end."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

GOAL = 600  # seconds, on a fresh machine


@dataclass
class Figures:
    """Filled by fixtures and tests."""

    clock: Callable[[], float] = time.monotonic
    seconds: dict[str, float] = field(default_factory=dict)
    bundle: tuple[str, ...] = ()
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """How long the block takes is a part of the whole."""
        began = self.clock()
        yield
        self.seconds[what] = self.clock() - began

    def add(self, what: str, figure: str, goal: str = "") -> None:
        self.rows.append((what, figure, goal))

    def table(self) -> Iterator[str]:
        """Lines for people."""
        whole = self.clock() - self.started
        parts = {**self.seconds, "tests": whole - sum(self.seconds.values())}
        yield from self.bundle
        for row in [("what", "figure", "goal"), *self.rows] if self.rows else ():
            yield "{:<38}{:<26}{}".format(*row)
        took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items())
        yield f"{took}: {whole:.0f} s in all, goal {GOAL} s on a fresh machine"
        yield f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
