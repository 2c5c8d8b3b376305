"""The port of counting."""

from datetime import datetime
from typing import Protocol

from graph.runtime.models import Census


class CensusStore(Protocol):
    """What there is of everything, without a look at every row."""

    async def census(self, *, now: datetime | None = None) -> Census: ...
