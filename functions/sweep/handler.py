"""EventBridge, every minute -> housekeeping."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from functions.settings import Settings, settings
from graph.runtime.call_upkeep import sweep_calls
from graph.runtime.engine import Runtime
from graph.runtime.housekeeping import sweep

DAY = 86400


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Returns and logs what was done, as counts."""
    swept = wiring.loop().run_until_complete(_sweep(wiring.runtime(), settings()))
    wiring.logger().info("swept", extra=swept)
    return swept


async def _sweep(rt: Runtime, env: Settings) -> dict[str, int]:
    from graph.llm.collecting import collect  # noqa: PLC0415 - LangGraph loads late

    keep_runs, keep_usage = env.BATON_RUN_RETENTION_DAYS, env.BATON_USAGE_RETENTION_DAYS
    swept = await sweep(rt, keep_runs=keep_runs * DAY)
    calls = await sweep_calls(rt, collect=collect, keep_usage=keep_usage * DAY)
    return asdict(swept) | asdict(calls)
