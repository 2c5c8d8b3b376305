"""The parts of docs/agents.md that the code knows best: `python -m infra.local.pictures`."""

import inspect
import re
from pathlib import Path
from typing import Any

from graph.agents import chat, research, supervisor, triage
from graph.agents.tools import TOOLS

FILE = Path(__file__).parents[2] / "docs" / "agents.md"
AGENTS: dict[str, Any] = {
    "chat": chat.graph,
    "research": research.graph,
    "supervisor": supervisor.graph,
    "triage": triage.graph,
}
PART = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """The text, each part between its marks drawn anew."""
    return PART.sub(lambda part: f"{part[1]}{_drawn(part[2])}\n{part[3]}", text)


def _drawn(name: str) -> str:
    if name == "tools":
        return _tools()
    picture = AGENTS[name].compile().get_graph().draw_mermaid(with_styles=False)
    return f"```mermaid\n{picture.strip()}\n```"


def _tools() -> str:
    rows = ["| tool | what for | seconds | tried again | topic |", "|---|---|---|---|---|"]
    for tool in TOOLS:
        does = (inspect.getdoc(tool.args) or "").splitlines()[0]
        again = tool.retries or ""
        rows.append(f"| `{tool.name}` | {does} | {tool.timeout:g} | {again} | {tool.topic} |")
    return "\n".join(rows)


if __name__ == "__main__":
    FILE.write_text(renewed(FILE.read_text()))
