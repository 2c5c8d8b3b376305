"""langgraph.json as LangGraph projects write it, and as they break it."""

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

from graph.adapters.registry import Registry
from graph.errors import BadProject

imported: list[str] = []  # by modules that tests write

STATE = """
from typing import TypedDict
from langgraph.graph import START, StateGraph

class State(TypedDict):
    n: int

def build():
    return StateGraph(State).add_node("n", lambda s: {"n": s["n"] + 1}).add_edge(START, "n")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shapes.py").write_text(
        STATE
        + """
from contextlib import asynccontextmanager

uncompiled = build()
compiled = build().compile()
number = 7

def factory():
    return build()

def configured(config):
    return build().compile(name=config["configurable"]["name"])

async def awaited():
    return build()

@asynccontextmanager
async def managed(config):
    yield build().compile()

def broken():
    raise RuntimeError("no database")
"""
    )
    return tmp_path


def registry(project: Path, graphs: Any, **more: Any) -> Registry:
    file = project / "langgraph.json"
    file.write_text(json.dumps({"dependencies": ["."], "graphs": graphs, **more}))
    return Registry(file)


@pytest.mark.parametrize(
    "name", ["uncompiled", "compiled", "factory", "configured", "awaited", "managed"]
)
async def test_every_form_of_a_graph_loads_and_runs(project: Path, name: str) -> None:
    graphs = registry(project, {"mine": f"./shapes.py:{name}"})
    assert graphs.names() == ["mine"]

    graph = await graphs.load("mine", {"configurable": {"name": "given"}})

    assert await graph.ainvoke({"n": 1}) == {"n": 2}
    if name == "configured":
        assert graph.name == "given"


def test_importing_all_calls_no_factory_and_finds_what_is_broken(project: Path) -> None:
    registry(project, {"a": "./shapes.py:compiled", "b": "./shapes.py:broken"}).import_all()
    with pytest.raises(BadProject, match="'c'"):
        registry(project, {"a": "./shapes.py:compiled", "c": "./shapes.py:none"}).import_all()


async def test_a_graph_is_imported_once(project: Path) -> None:
    graphs = registry(project, {"mine": {"path": "./shapes.py:compiled", "description": "d"}})
    assert await graphs.load("mine", {}) is await graphs.load("mine", {})


SLOW = """
import time
from tests.unit.test_registry import imported

imported.append(__name__)
for _ in range(50):
    time.sleep(0.001)
"""


async def waiting(*loads: Any) -> tuple[list[Any], int]:
    """What loads come to, and how often the event loop came round meanwhile."""
    turns, loading = 0, asyncio.gather(*loads, return_exceptions=True)
    while not loading.done():
        turns += 1
        await asyncio.sleep(0)
    return await loading, turns


async def test_the_collector_does_not_go_through_what_imports_left(project: Path) -> None:
    graph = await registry(project, {"mine": "./shapes.py:uncompiled"}).load("mine", {})

    assert gc.is_tracked(graph)
    assert not any(found is graph for found in gc.get_objects())


async def test_a_slow_module_is_imported_once_for_all_and_others_are_served(project: Path) -> None:
    (project / "slow.py").write_text(STATE + SLOW + "one = build().compile()\ntwo = build()\n")
    graphs = registry(project, {"one": "./slow.py:one", "two": "./slow.py:two"})
    imported.clear()
    loads = (graphs.load(name, {}) for name in ("one", "one", "two"))
    (first, second, third), turns = await waiting(*loads)
    assert first is second
    assert [await graph.ainvoke({"n": 1}) for graph in (first, third)] == [{"n": 2}] * 2
    assert len(imported) == 1
    assert turns > 20


async def test_each_who_waits_for_a_broken_module_is_told_and_the_next_tries_again(
    project: Path,
) -> None:
    (project / "slow.py").write_text(SLOW + "raise RuntimeError('not today')\n")
    graphs = registry(project, {"one": "./slow.py:one"})
    found, _ = await waiting(*(graphs.load("one", {}) for _ in range(3)))
    assert all(isinstance(each, BadProject) and "not today" in str(each) for each in found)
    (project / "slow.py").write_text(STATE + "one = build()")
    assert await (await graphs.load("one", {})).ainvoke({"n": 1}) == {"n": 2}


async def test_one_who_stops_waiting_takes_nothing_from_the_others(project: Path) -> None:
    (project / "slow.py").write_text(STATE + SLOW + "one = build()\n")
    graphs = registry(project, {"one": "./slow.py:one"})
    gone, waits = (asyncio.create_task(graphs.load("one", {})) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await (await waits).ainvoke({"n": 1}) == {"n": 2}
    assert gone.cancelled()


async def test_a_package_of_the_project_keeps_its_relative_imports(project: Path) -> None:
    package = project / "agents"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(STATE)
    (package / "main.py").write_text("from .parts import build\n\ngraph = build()\n")
    graph = await registry(project, {"mine": "./agents/main.py:graph"}).load("mine", {})
    assert await graph.ainvoke({"n": 1}) == {"n": 2}


async def test_the_projects_env_is_seen_but_overrides_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_TEST_KEPT", "outside")
    monkeypatch.delenv("BATON_TEST_NEW", raising=False)
    (project / ".env").write_text("BATON_TEST_KEPT=file\nBATON_TEST_NEW=file\n")
    (project / "env.py").write_text(
        STATE + "\nimport os\nassert os.environ['BATON_TEST_NEW'] == 'file'\n"
        "assert os.environ['BATON_TEST_KEPT'] == 'outside'\ngraph = build()\n"
    )
    await registry(project, {"mine": "./env.py:graph"}, env=".env").load("mine", {})
    monkeypatch.delenv("BATON_TEST_NEW")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no .*langgraph.json"),
        ("{", "cannot be read as JSON"),
        ("[]", "names no graphs"),
        ('{"graphs": {}}', "names no graphs"),
        ('{"graphs": {"a": "no colon"}}', "graph 'a' must be"),
        ('{"graphs": {"a": 7}}', "graph 'a' must be"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "langgraph.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadProject, match=message) as raised:
        Registry(file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("./nowhere.py:graph", "there is no file"),
        ("./shapes.py:nothing", "has no 'nothing'"),
        ("./shapes.py:number", "is a int, not a LangGraph graph"),
        ("./shapes.py:broken", "its factory raised RuntimeError"),
        ("./wrong.py:graph", "does not import: SyntaxError"),
        ("not_a_module:graph", "does not import: ModuleNotFoundError"),
    ],
)
async def test_a_graph_that_does_not_load_says_which_and_why(
    project: Path, target: str, message: str
) -> None:
    (project / "wrong.py").write_text("def graph(:\n")
    graphs = registry(project, {"mine": target})
    with pytest.raises(BadProject, match=message) as raised:
        await graphs.load("mine", {})
    assert "'mine'" in str(raised.value)


async def test_an_unknown_graph_names_those_there_are(project: Path) -> None:
    graphs = registry(project, {"mine": "./shapes.py:compiled"})
    with pytest.raises(BadProject, match="no graph 'other'; it has mine"):
        await graphs.load("other", {})


def test_types_that_checkpoints_may_hold_are_read_from_the_file(project: Path) -> None:
    serde = {"serde": {"allowed_msgpack_modules": [["my.types", "Order"]]}}
    graphs = registry(project, {"mine": "./shapes.py:compiled"}, checkpointer=serde)
    assert graphs.allowed_types == (("my.types", "Order"),)


PROJECT = Path(__file__).parents[2] / "langgraph.json"


@pytest.mark.parametrize("name", Registry(PROJECT).names())
async def test_the_projects_own_graphs_load(name: str) -> None:
    graph = await Registry(PROJECT).load(name, {})
    assert graph.nodes.keys() > {"__start__"}


def test_the_store_is_configured_with_what_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "meaning.py").write_text("def embed(texts):\n    return [[1.0] for _ in texts]\n")
    index = {"embed": "./meaning.py:embed", "dims": 1}
    file = tmp_path / "langgraph.json"
    file.write_text(json.dumps({"graphs": {"g": "./g.py:g"}, "store": {"index": index}}))
    config = Registry(file).store_config
    assert config.index is not None
    assert (config.index.dims, config.index.fields) == (1, ("$",))
    assert config.load(config.index.embed)(["a"]) == [[1.0]]
    with pytest.raises(BadProject, match="nowhere"):
        config.load("./nowhere.py:embed")
