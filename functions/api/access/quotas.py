"""How often an owner may ask, and how many runs they may have under way."""

import math
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from graph.runtime.ports import QuotaStore

RUNS_RETRY = "5"  # seconds


@dataclass(frozen=True, slots=True)
class Quotas:
    """Of each owner, in all processes together; 0 is no limit, and costs no round trip."""

    store: QuotaStore
    per_second: float = 0.0
    burst: int = 20
    most_runs: int = 0

    async def take_turn(self, owner: str) -> None:
        """Count a request; raises a 429 that says when to come again."""
        if not self.per_second:
            return
        wait = await self.store.take_turn(owner, every=1 / self.per_second, burst=self.burst)
        if wait:
            after = {"Retry-After": str(math.ceil(wait))}
            detail = f"more than {self.per_second:g} requests a second: wait {wait:.1f} s"
            raise HTTPException(429, detail, after)

    async def admit_runs(self, owner: str, new: int) -> None:
        """Raises a 429 when as many runs are unfinished; those asked for at once may pass it."""
        if not self.most_runs:
            return
        unfinished = await self.store.count_unfinished(owner)
        if unfinished + new > self.most_runs:
            detail = f"{unfinished} runs are unfinished, of {self.most_runs} at most: wait for one"
            raise HTTPException(429, detail, {"Retry-After": RUNS_RETRY})
