"""Assistants and what a client asks first, over the memory double; and what the app imports."""

import subprocess
import sys
from uuid import UUID, uuid5

import pytest

from tests.fixtures.service import Service, service

OURS = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
LATE = ("langgraph", "langchain_core", "boto3", "botocore", "psycopg", "aws_lambda_powertools")


@pytest.fixture
def api() -> Service:
    return service()


async def test_the_service_says_that_it_is_there_and_what_it_can(api: Service) -> None:
    assert await api.call("GET", "/ok") == {"ok": True}
    info = await api.call("GET", "/info")
    assert info["version"]
    assert info["langgraph_py_version"].startswith("1.")
    assert info["flags"]["assistants"] is True


async def test_the_api_describes_itself(api: Service) -> None:
    described = await api.call("GET", "/openapi.json")

    assert described["info"]["title"] == "Baton"
    assert "/threads/{thread_id}/runs/wait" in described["paths"]


async def test_every_graph_is_an_assistant(api: Service) -> None:
    found = await api.call("POST", "/assistants/search", {})

    assert [a["graph_id"] for a in found] == ["steps", "asks", "fails", "nests", "chat"]
    assert await api.call("POST", "/assistants/count", {}) == 5
    for assistant in found:
        assert assistant["assistant_id"] == str(uuid5(OURS, assistant["graph_id"]))
        assert (assistant["version"], assistant["metadata"]) == (1, {"created_by": "system"})
        for name in (assistant["assistant_id"], assistant["graph_id"]):
            assert await api.call("GET", f"/assistants/{name}") == assistant


@pytest.mark.parametrize(
    ("query", "graphs"),
    [
        ({"graph_id": "asks"}, ["asks"]),
        ({"name": "ST"}, ["steps", "nests"]),
        ({"metadata": {"created_by": "system"}, "limit": 1}, ["steps"]),
        ({"metadata": {"created_by": {"x": 1}}}, []),
        ({"metadata": {"user": "ann"}}, []),
        ({"sort_by": "name", "limit": 2}, ["steps", "nests"]),
        ({"sort_by": "graph_id", "sort_order": "asc", "limit": 2, "offset": 1}, ["chat", "fails"]),
    ],
)
async def test_assistants_are_searched(
    api: Service, query: dict[str, object], graphs: list[str]
) -> None:
    found = await api.call("POST", "/assistants/search", query)

    assert [a["graph_id"] for a in found] == graphs


async def test_assistants_are_paged(api: Service) -> None:
    answer = await api.http.post("/assistants/search", json={"limit": 2, "select": ["name"]})

    assert answer.json() == [{"name": "steps"}, {"name": "asks"}]
    assert answer.headers["x-pagination-total"] == "5"
    assert answer.headers["x-pagination-next"] == "2"


async def test_an_unknown_assistant_is_not_found(api: Service) -> None:
    refusal = await api.call("GET", "/assistants/nobody", status=404)

    assert "'nobody' does not exist: the project has steps, asks" in refusal["detail"]


async def test_a_graph_is_drawn(api: Service) -> None:
    drawn = await api.call("GET", "/assistants/steps/graph")
    nested = await api.call("GET", "/assistants/nests/graph?xray=true")

    assert [n["id"] for n in drawn["nodes"]] == ["__start__", "a", "b", "c", "__end__"]
    assert {"source": "a", "target": "b"} in drawn["edges"]
    assert "inner:think" in [n["id"] for n in nested["nodes"]]


def test_importing_the_app_loads_nothing_slow() -> None:
    code = f"import functions.api.app, sys; print([m for m in {LATE} if m in sys.modules])"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
