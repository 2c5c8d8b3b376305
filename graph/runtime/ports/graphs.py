"""The port of the project's graphs."""

from collections.abc import Sequence
from typing import Any, Protocol

from graph.runtime.models import Json, Upkeep


class Graphs(Protocol):
    """The project's compiled graphs by name."""

    def names(self) -> Sequence[str]: ...

    async def load(self, graph_id: str, config: Json) -> Any:
        """A compiled graph without a checkpointer; raises BadProject."""
        ...

    def version(self, graph_id: str) -> str | None:
        """Which version of it is deployed, told without importing it; None if it has none."""
        ...

    def upkeep(self, graph_id: str) -> Upkeep:
        """Its version and its hooks, which are imported; raises BadProject."""
        ...
