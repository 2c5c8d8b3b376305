"""EventBridge, every minute -> housekeeping."""

import time
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from functions.settings import Settings, settings
from graph.runtime.call_upkeep import sweep_calls
from graph.runtime.engine import Runtime
from graph.runtime.housekeeping import left_over, sweep
from graph.runtime.models import Backlog

DAY = 86400
NAMESPACE, DIMENSION = "Baton", "FunctionName"  # as in infra/monitoring.yaml
KEPT_BACK = 20.0  # seconds of an invocation for what is not done in batches


def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Returns and logs what was done, as counts, and logs what is left to do, as metrics."""
    rt, env, loop = wiring.runtime(), settings(), wiring.loop()
    time_left = context.get_remaining_time_in_millis() / 1000 - KEPT_BACK
    swept = loop.run_until_complete(_sweep(rt, env, time_left))
    wiring.logger().info("swept", extra=swept)
    keep_runs = env.BATON_RUN_RETENTION_DAYS * DAY
    backlog = loop.run_until_complete(left_over(rt, keep_runs=keep_runs))
    wiring.logger().info("backlog", extra=metrics(backlog, context.function_name))
    return swept


def metrics(backlog: Backlog, function: str) -> dict[str, Any]:
    """Fields of a line of the log that CloudWatch reads as metrics (its embedded metric format).

    Sizes of single tables are fields only: each metric costs money.
    """
    values = {
        "OverdueSteps": backlog.overdue_steps,
        "OverdueWebhooks": backlog.overdue_webhooks,
        "ExpiredThreads": backlog.expired_threads,
        "EndedRuns": backlog.ended_runs,
        "StoredBytes": sum(backlog.bytes.values()),
    }
    units = {name: "Bytes" if name.endswith("Bytes") else "Count" for name in values}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [[DIMENSION]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    described = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return {"_aws": described, DIMENSION: function, **values, "bytes": dict(backlog.bytes)}


async def _sweep(rt: Runtime, env: Settings, time_left: float) -> dict[str, int]:
    from graph.llm.collecting import collect

    keep_runs, keep_usage = env.BATON_RUN_RETENTION_DAYS, env.BATON_USAGE_RETENTION_DAYS
    swept = await sweep(rt, keep_runs=keep_runs * DAY, time_left=time_left)
    calls = await sweep_calls(rt, collect=collect, keep_usage=keep_usage * DAY)
    return asdict(swept) | asdict(calls)
