"""The port of the project's graphs."""

from collections.abc import Sequence
from typing import Any, Protocol

from graph.runtime.models import Json


class Graphs(Protocol):
    """The project's compiled graphs by name."""

    def names(self) -> Sequence[str]: ...

    async def load(self, graph_id: str, config: Json) -> Any:
        """A compiled graph without a checkpointer; raises BadProject."""
        ...
