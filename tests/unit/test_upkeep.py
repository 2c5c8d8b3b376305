"""A graph's version and hooks, as langgraph.json says them and gets them wrong."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from graph.adapters.registry import Registry
from graph.errors import BadProject
from graph.runtime.models import Upkeep
from tests.fixtures.driver import Loaded
from tests.fixtures.service import service

MODULE = """
from typing import TypedDict
from langgraph.graph import START, StateGraph

class State(TypedDict):
    n: int

graph = StateGraph(State).add_node("n", lambda s: s).add_edge(START, "n")
number = 7

def migrate(state, from_version):
    return state

async def revalidate(state, idle_seconds):
    return None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shape.py").write_text(MODULE)
    return tmp_path


def registry(project: Path, **entry: Any) -> Registry:
    file = project / "langgraph.json"
    said = {"path": "./shape.py:graph", **entry} if entry else "./shape.py:graph"
    file.write_text(json.dumps({"graphs": {"g": said}}))
    return Registry(file)


def test_a_graph_that_names_no_version_has_its_files_hash(project: Path) -> None:
    found = registry(project)
    version = found.version("g")
    assert version is not None
    assert version.startswith("source-")
    assert found.upkeep("g").version == version
    other = project / "other"
    other.mkdir()
    (other / "shape.py").write_text(MODULE + "\n# changed\n")
    assert registry(other).version("g") != version


def test_a_version_that_the_project_gives_counts(project: Path) -> None:
    assert registry(project, version=3).version("g") == "3"


def test_a_missing_file_is_told_of_when_the_graph_is_loaded_not_by_its_version(
    project: Path,
) -> None:
    (project / "shape.py").unlink()
    assert registry(project).version("g") is None


def test_hooks_are_found(project: Path) -> None:
    found = registry(
        project,
        version="2",
        migrate="./shape.py:migrate",
        revalidate="./shape.py:revalidate",
        revalidate_after=60,
    ).upkeep("g")
    assert found.migrate is not None
    assert found.revalidate is not None
    assert (found.migrate({"n": 1}, None), found.revalidate_after) == ({"n": 1}, 60.0)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"migrate": "./shape.py:migrate"}, "no version"),
        ({"version": "1", "migrate": "./shape.py:number"}, "int, not a function"),
        ({"version": "1", "migrate": "./shape.py:nothing"}, "has no 'nothing'"),
        ({"revalidate": "./none.py:hook"}, "there is no file"),
        ({"revalidate": "./shape.py:revalidate", "revalidate_after": -1}, "must be seconds"),
        ({"revalidate": "./shape.py:revalidate", "revalidate_after": True}, "must be seconds"),
    ],
)
def test_a_wrong_entry_says_what_is_wrong(project: Path, entry: Any, said: str) -> None:
    with pytest.raises(BadProject, match=said):
        registry(project, **entry).upkeep("g")


async def test_a_run_is_pinned_to_the_version_that_accepted_it() -> None:
    api = service()
    loaded = cast("Loaded", api.rt.graphs)
    async with api.http:
        thread_id = await api.thread()
        assert "graph_version" not in (await api.run(thread_id, "steps"))["kwargs"]
        loaded.upkeeps["steps"] = Upkeep("7")
        assert (await api.run(thread_id, "steps"))["kwargs"]["graph_version"] == "7"
