"""The long-term store, as graphs are given it."""

from copy import copy
from typing import Any

from graph.runtime.engine import Runtime


def with_store(graph: Any, rt: Runtime, owner: str) -> Any:
    """The graph with its owner's store, unless it was compiled with one; it is not touched."""
    if rt.long_term is None or getattr(graph, "store", None) is not None:
        return graph
    twin = copy(graph)
    twin.store = rt.long_term.of(owner)
    return twin
