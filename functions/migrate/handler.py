"""Deployment -> migrations, on the direct endpoint."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions import wiring
from functions.settings import settings
from graph.adapters.migrations import migrate


def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, list[str]]:
    """Returns the names of the migrations it applied."""
    applied = wiring.loop().run_until_complete(
        migrate(
            wiring.migration_url(),
            dims=wiring.dims_of_embeddings(),
            role=settings().DATABASE_FUNCTIONS_USER,
        )
    )
    wiring.logger().info("migrated", extra={"applied": applied})
    return {"applied": applied}
