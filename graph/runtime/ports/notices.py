"""The port of the notify queue."""

from typing import Protocol

from graph.runtime.models import Notice


class Notices(Protocol):
    """At least once, in any order; what it loses the sweep rings for."""

    async def send(self, notice: Notice, *, owner: str, delay: float = 0.0) -> None:
        """Ring after `delay` seconds (capped at what the queue allows); raises Unavailable."""
        ...
