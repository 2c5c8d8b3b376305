"""What a project says of a graph beside the graph itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REVALIDATE_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """A graph's version, and what is called when state of another version or age meets it."""

    version: str | None = None  # None: nobody can tell
    migrate: Callable[..., Any] | None = None  # (state, from_version) -> state
    revalidate: Callable[..., Any] | None = None  # (state, idle_seconds) -> changes, or None
    revalidate_after: float = REVALIDATE_AFTER  # seconds; a step that answers does not wait
