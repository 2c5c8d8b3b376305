"""EventBridge, every minute -> housekeeping."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from functions.settings import settings
from graph.runtime.housekeeping import sweep

DAY = 86400


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:  # noqa: ARG001
    """Returns and logs what was done, as counts."""
    rt = wiring.runtime()
    keep_runs = settings().BATON_RUN_RETENTION_DAYS * DAY
    swept = asdict(wiring.loop().run_until_complete(sweep(rt, keep_runs=keep_runs)))
    wiring.logger().info("swept", extra=swept)
    return swept
