"""How the OpenAPI document says that callers tell who they are."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from graph.adapters.auth_config import Security
from graph.errors import BadProject

KEYS = Security(  # BATON_AUTH=keys
    {
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    },
    [{"apiKey": []}, {"bearer": []}],
)


def describe_security(app: FastAPI, security: Callable[[], Security | None]) -> None:
    """Have the app's document say it, when it is first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = secured(plain(), security())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def secured(document: dict[str, Any], by: Security | None) -> dict[str, Any]:
    """The document with the schemes; raises BadProject for a path that the API has not."""
    if by is None:
        return document
    document["components"]["securitySchemes"] = by.schemes
    if by.security is not None:
        document["security"] = by.security
    for path, methods in (by.paths or {}).items():
        for method, needs in methods.items():
            try:
                document["paths"][path][method.lower()]["security"] = needs
            except KeyError:
                raise BadProject(f"auth.openapi.paths: the API has no {method} {path}") from None
    return document
