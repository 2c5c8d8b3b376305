"""docs/agents.md shows the agents as they are."""

import json

from infra.local import pictures


def test_the_pictures_are_of_the_graphs_as_they_are() -> None:
    told = pictures.FILE.read_text()
    assert pictures.renewed(told) == told, "run python -m infra.local.pictures"


def test_every_agent_and_tool_is_shown() -> None:
    told = pictures.FILE.read_text()
    project = json.loads((pictures.FILE.parents[1] / "langgraph.json").read_text())
    for agent in project["graphs"]:
        assert f"<!-- {agent} -->\n```mermaid" in told
    assert "| `update_order` | Change one of the user's orders." in told


def test_a_part_is_drawn_anew_and_the_rest_left_alone() -> None:
    text = "Before.\n<!-- triage -->\nold\n<!-- end -->\nAfter.\n"
    drawn = pictures.renewed(text)
    assert drawn.startswith("Before.\n<!-- triage -->\n```mermaid")
    assert drawn.endswith("```\n<!-- end -->\nAfter.\n")
    assert "classify" in drawn
    assert "old" not in drawn
