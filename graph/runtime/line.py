"""How long a client is on the line."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Line:
    """A client on the line: how long its run may be stepped here."""

    until: float  # in `time.monotonic` seconds
    lease: float  # seconds that one step may take
    left: asyncio.Event = field(default_factory=asyncio.Event)  # by the client

    @property
    def holds(self) -> bool:
        """Whether there is time for another step."""
        return not self.left.is_set() and time.monotonic() + self.lease <= self.until
