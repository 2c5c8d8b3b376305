"""A workload, a price list, and the lines of a monthly bill."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("prices.json")
HOURS = 730  # of a month, as AWS counts


@dataclass(frozen=True, slots=True)
class Workload:
    """A month of it."""

    steps: Decimal
    model_seconds: Decimal = Decimal(0)  # a step waits for its model
    steps_per_run: Decimal = Decimal(5)
    machinery_ms: Decimal = Decimal(60)  # a step's own time
    memory_mb: Decimal = Decimal(512)
    steps_per_invocation: Decimal = Decimal(1)
    batch: Decimal = Decimal(1)  # steps that wait together in one invocation
    database_gb: Decimal = Decimal(20)
    active_hours: Decimal = Decimal(0)  # of the month in which Aurora is awake for steps
    line_seconds: Decimal = Decimal(0)  # Streaming: a run's line is open so long, and steps it
    egress: str = "ipv6"

    @property
    def runs(self) -> Decimal:
        return self.steps / self.steps_per_run

    @property
    def invocations(self) -> Decimal:
        """One per run at least: the next run is another message."""
        together = min(self.steps_per_invocation, self.steps_per_run) * self.batch
        return self.steps / together


@dataclass(frozen=True, slots=True)
class Line:
    """Of a bill; `high` where it depends on how it is used."""

    what: str
    usd: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """What a month costs somewhere."""

    name: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> Decimal:
        return sum((line.usd for line in self.lines), Decimal(0))

    @property
    def high(self) -> Decimal:
        return sum((line.high for line in self.lines), Decimal(0))


@cache
def price_list() -> dict[str, Any]:
    """The whole file, with its date and its sources."""
    listed: dict[str, Any] = json.loads(LIST.read_text())
    return listed


def usd(name: str) -> Decimal:
    """The price of one unit."""
    return Decimal(price_list()["prices"][name]["usd"])


def line(what: str, low: Decimal, high: Decimal | None = None) -> Line:
    return Line(what, low, low if high is None else high)


def waiting(load: Workload) -> Line:
    waited = load.steps * load.model_seconds / load.batch
    return line("steps: Lambda, waiting for models", lambda_usd(load, waited))


def lambda_usd(load: Workload, seconds: Decimal) -> Decimal:
    return seconds * load.memory_mb / 1024 * usd("lambda_gb_second")
