"""What the API's description says of assistants, threads and states is what it answers."""

from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from starlette.routing import Match

from tests.fixtures.service import Service, service

CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/assistants", {"graph_id": "steps", "context": {"k": 1}}),
    ("POST", "/assistants/search", {}),
    ("POST", "/assistants/search", {"select": ["name"]}),
    ("POST", "/assistants/count", {}),
    ("GET", "/assistants/steps", None),
    ("PATCH", "/assistants/{assistant}", {"name": "x"}),
    ("POST", "/assistants/{assistant}/versions", {}),
    ("POST", "/assistants/{assistant}/latest", {"version": 1}),
    ("GET", "/assistants/nests/graph", None),
    ("GET", "/assistants/nests/schemas", None),
    ("GET", "/assistants/nests/subgraphs", None),
    ("POST", "/threads", {"ttl": 5}),
    ("POST", "/threads/search", {}),
    ("POST", "/threads/search", {"select": ["status"], "extract": {"a": "values.log"}}),
    ("POST", "/threads/count", {}),
    ("POST", "/threads/prune", {"thread_ids": []}),
    ("POST", "/threads/{thread}/copy", None),
    ("GET", "/threads/{thread}", None),
    ("PATCH", "/threads/{thread}", {"metadata": {"a": 1}}),
    ("GET", "/threads/{thread}/state?subgraphs=true", None),
    ("GET", "/threads/{thread}/state?select=next", None),
    ("POST", "/threads/{thread}/state/checkpoint", {"checkpoint": {}}),
    ("POST", "/threads/{thread}/history", {}),
    ("GET", "/threads/{thread}/history", None),
    ("GET", "/threads/{empty}", None),
    ("GET", "/threads/{empty}/state", None),
    ("GET", "/threads/{failed}", None),
    ("GET", "/threads/{failed}/state", None),
    ("POST", "/threads/{thread}/state", {"values": {"log": ["x"]}}),
]


@pytest.fixture
def api() -> Service:
    return service()


def described(api: Service, method: str, path: str) -> Any:
    """The type that the description has for the answer."""
    scope = {"type": "http", "method": method, "path": path.split("?")[0], "headers": []}
    found = [
        route
        for route in api.app.routes
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL
    ]
    return found[0].response_model


def fits(kind: Any, value: Any) -> None:
    """It is of the type, and a model's object has no field that is not described."""
    read = TypeAdapter(kind).validate_python(value)
    for model, item in zip(
        read if isinstance(read, list) else [read],
        value if isinstance(value, list) else [value],
        strict=True,
    ):
        if isinstance(model, BaseModel):
            assert set(item) <= set(type(model).model_fields)
            required = {n for n, f in type(model).model_fields.items() if f.is_required()}
            assert required <= set(item)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_answers_are_as_described(api: Service, method: str, path: str, body: Any) -> None:
    assistant = await api.call("POST", "/assistants", {"graph_id": "steps"})
    names = {
        "assistant": assistant["assistant_id"],
        "thread": await api.ran("nests", input={"log": []}),
        "empty": await api.thread(),
        "failed": await api.ran("fails", input={"log": []}),
    }
    path = path.format(**names)

    answer = await api.call(method, path, body)

    fits(described(api, method, path), answer)


OURS = ("Assistants", "Threads", "State")


async def test_every_error_is_described_in_the_shape_it_has(api: Service) -> None:
    spec = await api.call("GET", "/openapi.json")
    operations = [
        operation
        for path in spec["paths"].values()
        for operation in path.values()
        if set(operation["tags"]) & set(OURS)
    ]

    assert len(operations) >= 25
    for operation in operations:
        for status in ("404", "409", "422"):
            shape = operation["responses"][status]["content"]["application/json"]["schema"]
            assert shape == {"$ref": "#/components/schemas/Problem"}
    refusal = await api.call("GET", "/assistants/nobody", status=404)
    assert list(refusal) == list(spec["components"]["schemas"]["Problem"]["properties"])
