"""The port of what an owner may use."""

from datetime import datetime
from typing import Protocol


class QuotaStore(Protocol):
    """Counters by owner, the same for every process."""

    async def take_turn(
        self, owner: str, *, every: float, burst: int, now: datetime | None = None
    ) -> float:
        """Take a token from the owner's bucket, which gains one `every` seconds and holds `burst`.

        0 when there was one, otherwise the seconds until there will be; then nothing is taken.
        """
        ...
