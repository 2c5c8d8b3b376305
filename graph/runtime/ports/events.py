"""The port of events."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from graph.runtime.heard import Heard
from graph.runtime.models import Claim, Event


class EventStore(Protocol):
    """What runs tell; numbered per thread, rising, without regard to who reads."""

    async def tell(self, claim: Claim, events: Sequence[Event]) -> bool:
        """Store events of a step that is still running; whether the thread is watched.

        What an earlier attempt at the step told, and died, is gone with the first of them. Raises
        LostClaim.
        """
        ...

    async def heard(self, after: Mapping[str, int], *, limit: int = 100) -> list[Heard]:
        """What the runs that exist told after these numbers, whoever owns them.

        For readers, after get_run.
        """
        ...
