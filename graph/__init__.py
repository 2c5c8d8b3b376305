"""What the author of a node needs from Baton; loaded on first use, for LangGraph loads late."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graph.effects import effect_key
    from graph.errors import PermanentFailure
    from graph.owners import owner
    from graph.reporting import progress
    from graph.signals import RetryLater, WaitUntil

__all__ = ["PermanentFailure", "RetryLater", "WaitUntil", "effect_key", "owner", "progress"]

_HOMES = {
    "PermanentFailure": "graph.errors",
    "RetryLater": "graph.signals",
    "WaitUntil": "graph.signals",
    "effect_key": "graph.effects",
    "owner": "graph.owners",
    "progress": "graph.reporting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'graph' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
