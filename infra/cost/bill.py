"""The arithmetic: a workload and a price list in, the lines of a monthly bill out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_name("prices.json")
HOURS = 730  # of a month, as AWS counts
SQS_REQUESTS = 3  # of a message: sent, received, deleted
LOG_KB_PER_INVOCATION = Decimal("0.6")
SWEEP_SECONDS = Decimal("0.1")
ALARMS = {"rds": 18, "aurora-zero": 15, "existing": 15}  # infra/monitoring.yaml
STREAM_ALARMS = 2
PROXY_VCPUS = 2  # db.t4g.micro has two
AURORA_IO_PER_STEP = 10
AURORA_FLOOR = Decimal("0.5")  # ACU while it is awake
AURORA_SWEEPS = 730 / 6  # SweepSchedule=rate(6 hours) lets it sleep
AURORA_WAKE_HOURS = Decimal("0.1")  # five minutes until it pauses again, and the start
ENDPOINTS = 3 * 2  # SQS, secrets and Bedrock, in two zones


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


def bills(load: Workload) -> list[Bill]:
    """Baton's three profiles, then the alternatives."""
    profiles: dict[str, Callable[[Workload], list[Line]]] = {
        "rds": _rds,
        "aurora-zero": _aurora,
        "existing": lambda _: [],
    }
    ours = [
        Bill(f"baton, {name}", (*_steps(load), *of(load), *_around(name, load)))
        for name, of in profiles.items()
    ]
    return [*ours, _durable(load), _step_functions(load), _temporal(load), _langsmith(load)]


def _steps(load: Workload) -> list[Line]:
    """What every step and run costs, whatever the database."""
    return [
        line("steps: Lambda, machinery", _seconds(load, load.steps * load.machinery_ms / 1000)),
        line("steps: Lambda, invocations", load.invocations * usd("lambda_request")),
        *(_lines(load) if load.line_seconds else [_waiting(load)]),
        line("steps: SQS", load.invocations * load.batch * SQS_REQUESTS * usd("sqs_request")),
        line("requests: API Gateway", load.runs * usd("rest_request")),
        line("logs", load.invocations * LOG_KB_PER_INVOCATION / 1_000_000 * usd("log_gb")),
    ]


def _lines(load: Workload) -> list[Line]:
    """A step on an open line waits for its model there; its message finds it done."""
    seconds = max(load.line_seconds, load.steps_per_run * load.model_seconds)
    return [
        line("lines: Lambda, open", _seconds(load, load.runs * seconds)),
        line("lines: Lambda, invocations", load.runs * usd("lambda_request")),
    ]


def _waiting(load: Workload) -> Line:
    waited = load.steps * load.model_seconds / load.batch
    return line("steps: Lambda, waiting for models", _seconds(load, waited))


def _seconds(load: Workload, seconds: Decimal) -> Decimal:
    return seconds * load.memory_mb / 1024 * usd("lambda_gb_second")


def _rds(load: Workload) -> list[Line]:
    return [
        line("RDS db.t4g.micro", HOURS * usd("rds_instance_hour")),
        line("RDS storage", load.database_gb * usd("rds_gb_month")),
        line("RDS Proxy", HOURS * PROXY_VCPUS * usd("proxy_vcpu_hour")),
        *_network(load),
    ]


def _aurora(load: Workload) -> list[Line]:
    awake = load.active_hours + Decimal(AURORA_SWEEPS) * AURORA_WAKE_HOURS
    return [
        line("Aurora, awake", min(awake, Decimal(HOURS)) * AURORA_FLOOR * usd("aurora_acu_hour")),
        line("Aurora storage", load.database_gb / 20 * usd("aurora_gb_month")),
        line("Aurora I/O", load.steps * AURORA_IO_PER_STEP * usd("aurora_io")),
        *_network(load),
    ]


def _network(load: Workload) -> list[Line]:
    ways = {"nat": usd("nat_hour"), "endpoints": ENDPOINTS * usd("endpoint_hour")}
    return [line(f"egress: {load.egress}", HOURS * ways.get(load.egress, Decimal(0)))]


def _around(profile: str, load: Workload) -> list[Line]:
    """What it costs to be there: alarms, a secret, the clock."""
    sweeps = Decimal(AURORA_SWEEPS) if profile == "aurora-zero" else Decimal(HOURS * 60)
    swept = sweeps * (usd("lambda_request") + SWEEP_SECONDS / 2 * usd("lambda_gb_second"))
    secret = [] if profile == "existing" else [line("secret", usd("secret_month"))]
    alarms = ALARMS[profile] + (STREAM_ALARMS if load.line_seconds else 0)
    return [line("alarms", alarms * usd("alarm_month")), *secret, line("sweeps", swept)]


def _durable(load: Workload) -> Bill:
    """One operation a step and one a run at least; 10 to 20 KB written by each step."""
    runs, operation, gb = load.runs, usd("durable_operation"), usd("durable_gb_written")
    return Bill(
        "Lambda durable functions",
        (
            line("durable operations", (load.steps + runs) * operation, _twice(load) * operation),
            line("data written", load.steps / 100_000 * gb, load.steps / 50_000 * gb),
            line("Lambda, machinery", _seconds(load, load.steps * load.machinery_ms / 1000)),
            line("Lambda, invocations", runs * usd("lambda_request")),
            _waiting(load),
            line("requests: API Gateway", runs * usd("rest_request")),
        ),
    )


def _twice(load: Workload) -> Decimal:
    """Two operations a step, such as a wait or a callback besides, and one a run."""
    return 2 * load.steps + load.runs


def _step_functions(load: Workload) -> Bill:
    """Two transitions a step, three where it branches."""
    transition = usd("state_transition")
    return Bill(
        "Step Functions, Standard",
        (
            line("state transitions", 2 * load.steps * transition, 3 * load.steps * transition),
            line("Lambda, machinery", _seconds(load, load.steps * load.machinery_ms / 1000)),
            line("Lambda, invocations", load.steps * usd("lambda_request")),
            _waiting(load),
        ),
    )


def _temporal(load: Workload) -> Bill:
    """One action a step at least, two and the run's own at most; your own workers come on top."""
    action = usd("temporal_action")
    return Bill(
        "Temporal Cloud, without your workers",
        (line("actions", load.steps * action, _twice(load) * action),),
    )


def _langsmith(load: Workload) -> Bill:
    """Steps and waiting are in the price of a run; the deployment's uptime is not."""
    return Bill(
        "LangSmith Deployment",
        (
            line("agent runs", load.runs * usd("langsmith_run")),
            line("uptime of one deployment", HOURS * 60 * usd("langsmith_minute")),
        ),
    )
