"""What `make build` puts into the bundle, without a network."""

import json
from pathlib import Path

import pytest

from infra.build.bundle import ROOT_CERTIFICATES, check, copy_sources, graph_roots, size_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project like ours, in small, with a graph of its user's own."""
    written = {
        "functions/step/handler.py": "",
        "functions/__pycache__/x.pyc": "",
        "graph/agents/triage.py": "",
        "infra/__init__.py": "",
        "infra/migrations/0001_threads.sql": "",
        "infra/local/cli.py": "",
        "tests/test_x.py": "",
        "own/agent.py": "",
        "own/prompts/plan.md": "",
    }
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    name_graphs(tmp_path, {"triage": "./graph/agents/triage.py:graph", "own": "own/agent.py:make"})
    return tmp_path


def name_graphs(project: Path, graphs: dict[str, object]) -> None:
    (project / "langgraph.json").write_text(json.dumps({"graphs": graphs, "env": ".env"}))


def test_the_file_that_embeds_the_stores_items_is_in_the_bundle(project: Path) -> None:
    config = json.loads((project / "langgraph.json").read_text())
    (project / "meaning.py").write_text("")
    index = {"embed": "./meaning.py:embed", "dims": 3}
    (project / "langgraph.json").write_text(json.dumps({**config, "store": {"index": index}}))
    assert graph_roots(project) == {"graph", "own", "meaning.py"}


def test_the_bundle_holds_the_product_and_the_users_graphs_and_nothing_else(
    project: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    copy_sources(project, bundle)
    assert {str(f.relative_to(bundle)) for f in bundle.rglob("*") if f.is_file()} == {
        "functions/step/handler.py",
        "graph/agents/triage.py",
        "infra/__init__.py",
        "infra/migrations/0001_threads.sql",
        "langgraph.json",
        "own/agent.py",
        "own/prompts/plan.md",
    }


def test_graphs_may_be_named_in_the_long_form(project: Path) -> None:
    name_graphs(project, {"own": {"path": "./own/agent.py:graph", "description": "ours"}})
    assert graph_roots(project) == {"own"}


@pytest.mark.parametrize("spec", ["../elsewhere/agent.py:graph", "own/missing.py:graph"])
def test_a_graph_that_would_not_be_in_the_bundle_is_refused(project: Path, spec: str) -> None:
    name_graphs(project, {"lost": spec})
    with pytest.raises(ValueError, match=r"langgraph\.json: graph 'lost'"):
        graph_roots(project)


def test_a_bundle_that_could_not_verify_the_proxy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="certifi"):
        check(tmp_path)


def test_a_bundle_that_lambda_would_not_take_is_refused(tmp_path: Path) -> None:
    certificates = tmp_path / ROOT_CERTIFICATES
    certificates.parent.mkdir()
    certificates.touch()
    check(tmp_path)
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(251 * 1024 * 1024)  # a hole: it takes no room on the disk
    assert size_of(tmp_path) > 250 * 1024 * 1024
    with pytest.raises(ValueError, match="250 MB"):
        check(tmp_path)
