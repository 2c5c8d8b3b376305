"""API Gateway -> the API; REST APIs and HTTP APIs alike."""

from functools import cache
from typing import Any

from mangum import Mangum
from mangum.types import LambdaContext

from functions import cold_start, wiring
from functions.api.app import app


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One request; a path after the name of an HTTP API's stage is not understood: use $default."""
    return _adapter()(event, context)


@cache
def _adapter() -> Mangum:
    wiring.loop()  # Mangum takes the loop it finds
    return Mangum(app, lifespan="off")


cold_start.imported()
