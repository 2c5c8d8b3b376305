"""The assistants every project has: one for each graph of its langgraph.json."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from graph.errors import NotFound
from graph.runtime.models import Json

# LangGraph's own: clients that know an assistant by its id find the same one here.
NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
METADATA: Json = {"created_by": "system"}


@dataclass(frozen=True, slots=True)
class Assistant:
    """A graph as clients address it; `assistant_id` is the same in every deployment."""

    assistant_id: str
    graph_id: str


def assistants(graph_ids: Sequence[str]) -> list[Assistant]:
    return [Assistant(str(uuid5(NAMESPACE, graph_id)), graph_id) for graph_id in graph_ids]


def find_assistant(graph_ids: Sequence[str], name: str) -> Assistant:
    """The assistant of that id or graph; raises NotFound."""
    for assistant in assistants(graph_ids):
        if name in (assistant.assistant_id, assistant.graph_id):
            return assistant
    raise NotFound(f"assistant {name!r} does not exist: the project has {', '.join(graph_ids)}")
