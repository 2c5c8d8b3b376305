"""How often an owner may ask."""

import math
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from graph.runtime.ports import QuotaStore


@dataclass(frozen=True, slots=True)
class Quotas:
    """Of each owner, in all processes together; 0 is no limit, and costs no round trip."""

    store: QuotaStore
    per_second: float = 0.0
    burst: int = 20

    async def take_turn(self, owner: str) -> None:
        """Count a request; raises a 429 that says when to come again."""
        if not self.per_second:
            return
        wait = await self.store.take_turn(owner, every=1 / self.per_second, burst=self.burst)
        if wait:
            after = {"Retry-After": str(math.ceil(wait))}
            detail = f"more than {self.per_second:g} requests a second: wait {wait:.1f} s"
            raise HTTPException(429, detail, after)
