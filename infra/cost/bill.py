"""What Baton costs in a month, in each of its profiles, and the alternatives after it."""

from collections.abc import Callable
from decimal import Decimal

from infra.cost.alternatives import alternatives
from infra.cost.amounts import HOURS, Bill, Line, Workload, lambda_usd, line, usd, waiting

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
    return [*ours, *alternatives(load)]


def _steps(load: Workload) -> list[Line]:
    """What every step and run costs, whatever the database."""
    return [
        line("steps: Lambda, machinery", lambda_usd(load, load.steps * load.machinery_ms / 1000)),
        line("steps: Lambda, invocations", load.invocations * usd("lambda_request")),
        *(_lines(load) if load.line_seconds else [waiting(load)]),
        line("steps: SQS", load.invocations * load.batch * SQS_REQUESTS * usd("sqs_request")),
        line("requests: API Gateway", load.runs * usd("rest_request")),
        line("logs", load.invocations * LOG_KB_PER_INVOCATION / 1_000_000 * usd("log_gb")),
    ]


def _lines(load: Workload) -> list[Line]:
    """A step on an open line waits for its model there; its message finds it done."""
    seconds = max(load.line_seconds, load.steps_per_run * load.model_seconds)
    return [
        line("lines: Lambda, open", lambda_usd(load, load.runs * seconds)),
        line("lines: Lambda, invocations", load.runs * usd("lambda_request")),
    ]


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
