"""Assistants that clients make, and what runs take of them, over the memory double."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime

from tests.fixtures.graphs import Log
from tests.fixtures.service import Service, service


class Settings(TypedDict, total=False):
    model: str
    tone: str


def shows(state: Log, config: RunnableConfig, runtime: Runtime[Settings]) -> Log:
    conf = config["configurable"]
    metadata = config["metadata"]
    seen = {
        "model": conf.get("model"),
        "tone": (runtime.context or {}).get("tone"),
        "tags": sorted(config.get("tags") or []),
        "team": metadata.get("team"),
        "user": metadata.get("user"),
    }
    return {"log": [f"{key}={value}" for key, value in seen.items()]}


def shown() -> Any:
    graph: Any = StateGraph(Log, Settings)  # its types know no node that takes all three
    return graph.add_node("shows", shows).add_edge(START, "shows").compile()


@pytest.fixture
def api() -> Service:
    made = service()
    made.loaded.graphs["shows"] = shown()
    return made


async def made(api: Service, **asked: Any) -> dict[str, Any]:
    body = {"graph_id": "steps", **asked}
    assistant: dict[str, Any] = await api.call("POST", "/assistants", body)
    return assistant


async def test_an_assistant_is_made_and_found_by_its_id(api: Service) -> None:
    assistant = await made(api, name="Helper", description="helps", metadata={"team": "a"})

    assert (assistant["name"], assistant["description"]) == ("Helper", "helps")
    assert (assistant["version"], assistant["config"], assistant["context"]) == (1, {}, {})
    assert await api.call("GET", f"/assistants/{assistant['assistant_id']}") == assistant
    assert await api.call("GET", f"/assistants/{assistant['assistant_id'].upper()}") == assistant
    assert await api.call("POST", "/assistants/count", {"metadata": {"team": "a"}}) == 1
    assert await api.call("POST", "/assistants/count", {}) == 7
    assert (await made(api))["name"] == "Untitled"


async def test_an_id_is_given_once(api: Service) -> None:
    mine = {"assistant_id": str(uuid4()), "graph_id": "steps"}
    first = await api.call("POST", "/assistants", {**mine, "name": "first"})

    refusal = await api.call("POST", "/assistants", mine, status=409)
    again = await api.call("POST", "/assistants", {**mine, "if_exists": "do_nothing"})

    assert "exists already: update it or leave the id out" in refusal["detail"]
    assert again == first
    (default,) = await api.call("POST", "/assistants/search", {"graph_id": "asks"})
    taken = {"assistant_id": default["assistant_id"], "graph_id": "steps"}
    await api.call("POST", "/assistants", taken, status=409)
    same = await api.call("POST", "/assistants", {**taken, "if_exists": "do_nothing"})
    assert same == default


async def test_the_same_assistant_made_twice_at_once_is_one(api: Service) -> None:
    body = {"assistant_id": str(uuid4()), "graph_id": "steps"}

    answers = await asyncio.gather(*(api.http.post("/assistants", json=body) for _ in range(4)))

    assert sorted(a.status_code for a in answers) == [200, 409, 409, 409]
    where = f"/assistants/{body['assistant_id']}"
    assert len(await api.call("POST", f"{where}/versions", {})) == 1


async def test_an_update_is_a_version_that_can_be_undone(api: Service) -> None:
    first = await made(api, name="one", metadata={"a": 1}, context={"model": "x"})
    at = f"/assistants/{first['assistant_id']}"

    second = await api.call("PATCH", at, {"name": "two", "metadata": {"b": 2}})
    versions = await api.call("POST", f"{at}/versions", {})
    again = await api.call("POST", f"{at}/latest", {"version": 1})
    missing = await api.call("POST", f"{at}/latest", {"version": 3}, status=404)

    assert (second["version"], second["name"]) == (2, "two")
    assert second["metadata"] == {"a": 1, "b": 2}
    assert second["context"] == {"model": "x"}
    assert [(v["version"], v["name"]) for v in versions] == [(2, "two"), (1, "one")]
    assert (again["version"], again["name"], again["metadata"]) == (1, "one", {"a": 1})
    assert missing["detail"].endswith("has no version 3")
    assert await api.call("POST", f"{at}/versions", {"metadata": {"b": 2}}) == versions[:1]
    assert await api.call("POST", f"{at}/versions", {"limit": 1, "offset": 1}) == versions[1:]


async def test_context_and_configurable_are_one(api: Service) -> None:
    new = await made(api, context={"model": "x"}, config={"tags": ["t"]})
    old = await made(api, config={"configurable": {"model": "x"}})

    assert new["config"] == {"tags": ["t"], "configurable": {"model": "x"}}
    assert old["context"] == {"model": "x"}


@pytest.mark.parametrize("name", ["steps", "default"])
async def test_the_projects_own_cannot_be_changed(api: Service, name: str) -> None:
    if name == "default":
        name = (await api.call("GET", "/assistants/steps"))["assistant_id"]
    at = f"/assistants/{name}"
    before = await api.call("GET", at)

    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        refusal = await api.call(method, at, body, status=409)
        assert "cannot be changed: create another of graph 'steps'" in refusal["detail"]
    assert await api.call("POST", f"{at}/versions", {}) == [before]
    assert await api.call("POST", f"{at}/versions", {"metadata": {"x": 1}}) == []
    assert await api.call("POST", f"{at}/latest", {"version": 1}) == before
    await api.call("POST", f"{at}/latest", {"version": 2}, status=404)
    assert await api.call("GET", at) == before


@pytest.mark.parametrize("name", ["nobody", "00000000-0000-4000-8000-000000000000", "%00"])
async def test_what_there_is_not(api: Service, name: str) -> None:
    at = f"/assistants/{name}"
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/versions", {}),
        ("POST", "/latest", {"version": 1}),
        ("GET", "/graph", None),
        ("GET", "/schemas", None),
        ("GET", "/subgraphs", None),
    ):
        refusal = await api.call(method, at + path, body, status=404)
        assert "does not exist: the project has steps, asks" in refusal["detail"]


async def test_an_assistant_is_of_a_graph_that_there_is(api: Service) -> None:
    mine = await made(api)
    at = f"/assistants/{mine['assistant_id']}"

    unknown = await api.call("POST", "/assistants", {"graph_id": "none"}, status=404)
    await api.call("PATCH", at, {"graph_id": "none"}, status=404)

    assert "graph 'none' does not exist: the project has steps" in unknown["detail"]
    assert await api.call("GET", at) == mine


async def test_an_assistant_of_a_graph_that_is_gone_says_so(api: Service) -> None:
    mine = await made(api, graph_id="shows")
    del api.loaded.graphs["shows"]
    at, thread_id = f"/assistants/{mine['assistant_id']}", await api.thread()
    asked = {"assistant_id": mine["assistant_id"]}

    for method, path, body in (
        ("GET", f"{at}/graph", None),
        ("GET", f"{at}/schemas", None),
        ("POST", f"/threads/{thread_id}/runs", asked),
    ):
        refusal = await api.call(method, path, body, status=409)
        assert "is of graph 'shows', which the project has not" in refusal["detail"]
    assert await api.call("GET", at) == mine
    assert (await api.call("PATCH", at, {"graph_id": "steps"}))["graph_id"] == "steps"
    await api.run(thread_id, mine["assistant_id"])


async def seen(api: Service, thread_id: str) -> dict[str, str]:
    thread = await api.call("GET", f"/threads/{thread_id}")
    log = thread["values"]["log"]
    return dict(line.split("=", 1) for line in log)


async def test_a_run_takes_what_the_assistant_says_below_what_it_says_itself(api: Service) -> None:
    mine = await made(
        api,
        graph_id="shows",
        config={"tags": ["assistants"], "configurable": {"model": "small", "tone": "dry"}},
        metadata={"team": "a", "user": "nobody"},
    )
    name = mine["assistant_id"]

    plain = await seen(api, await api.ran(name, input={}))
    asked: dict[str, Any] = {
        "config": {"configurable": {"model": "large"}},
        "context": {"tone": "kind"},
        "metadata": {"user": "ann"},
    }
    own = await seen(api, await api.ran(name, input={}, **asked))

    common = {"tags": "['assistants']", "team": "a"}
    assert plain == {"model": "small", "tone": "dry", "user": "nobody", **common}
    assert own == {"model": "large", "tone": "kind", "user": "ann", **common}


async def test_a_run_keeps_the_version_that_was_in_force_when_it_was_made(api: Service) -> None:
    mine = await made(api, graph_id="shows", context={"tone": "dry"}, metadata={"team": "a"})
    name = mine["assistant_id"]
    thread_id = await api.thread()
    run = await api.run(thread_id, name, input={})

    await api.call("PATCH", f"/assistants/{name}", {"context": {"tone": "kind"}})
    await api.call("DELETE", f"/assistants/{name}", status=204)
    await api.work()

    assert run["kwargs"]["assistant_version"] == 1
    assert (await seen(api, thread_id))["tone"] == "dry"
    await api.call("POST", f"/threads/{thread_id}/runs", {"assistant_id": name}, status=404)


async def test_a_threads_runs_tell_which_assistant_it_belongs_to(api: Service) -> None:
    mine = await made(api)
    thread_id = await api.ran(mine["assistant_id"], input={})
    other = await api.ran("steps", input={})

    found = {"metadata": {"assistant_id": mine["assistant_id"], "graph_id": "steps"}}
    (thread,) = await api.call("POST", "/threads/search", found)
    at = f"/assistants/{mine['assistant_id']}?delete_threads=true"
    await api.call("DELETE", at, status=204)

    assert thread["thread_id"] == thread_id
    await api.call("GET", f"/threads/{thread_id}", status=404)
    await api.call("GET", f"/threads/{other}")


async def test_a_graphs_schemas(api: Service) -> None:
    schemas = await api.call("GET", "/assistants/shows/schemas")

    assert schemas["graph_id"] == "shows"
    assert schemas["input_schema"]["properties"]["log"]["type"] == "array"
    assert "log" in schemas["output_schema"]["properties"]
    assert "log" in schemas["state_schema"]["properties"]
    assert set(schemas["context_schema"]["properties"]) == {"model", "tone"}
    assert schemas["config_schema"] == schemas["context_schema"]
    chat = await api.call("GET", "/assistants/chat/schemas")
    assert "messages" in chat["input_schema"]["properties"]


class Odd:
    """A type of which pydantic knows nothing."""


class OddState(TypedDict, total=False):
    odd: Odd
    plain: int


@dataclass
class Odder:
    odd: Odd


@pytest.mark.parametrize("state", [OddState, Odder])
async def test_a_type_without_a_schema_is_null_or_anything(api: Service, state: Any) -> None:
    graph = StateGraph(state).add_node("a", lambda state: state).add_edge(START, "a").compile()
    api.loaded.graphs["odd"] = graph

    schemas = await api.call("GET", "/assistants/odd/schemas")

    for name in ("input_schema", "output_schema"):
        fields = schemas[name] and schemas[name]["properties"]
        assert fields == (
            None
            if state is Odder
            else {
                "odd": {"default": None, "title": "Odd"},
                "plain": {"default": None, "title": "Plain", "type": "integer"},
            }
        )
    assert schemas["state_schema"]["properties"]["odd"] == {"default": None, "title": "Odd"}


async def test_a_graphs_nested_graphs(api: Service) -> None:
    at = "/assistants/nests/subgraphs"

    assert list(await api.call("GET", at)) == ["inner"]
    (inner,) = (await api.call("GET", f"{at}/inner")).values()
    assert "log" in inner["input_schema"]["properties"]
    assert await api.call("GET", f"{at}?recurse=true") == {"inner": inner}
    assert await api.call("GET", f"{at}/nobody") == {}
    assert await api.call("GET", "/assistants/steps/subgraphs") == {}


@pytest.mark.parametrize(
    ("xray", "nodes"),
    [("false", False), ("true", True), ("1", True), ("2", True)],
)
async def test_a_drawing_opens_nested_graphs(api: Service, xray: str, nodes: bool) -> None:
    drawn = await api.call("GET", f"/assistants/nests/graph?xray={xray}")

    assert ("inner:think" in [n["id"] for n in drawn["nodes"]]) is nodes


@pytest.mark.parametrize("xray", ["-1", "deep"])
async def test_a_depth_that_is_none(api: Service, xray: str) -> None:
    await api.call("GET", f"/assistants/nests/graph?xray={xray}", status=422)
