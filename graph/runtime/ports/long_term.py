"""The port of the long-term store."""

from typing import Any, Protocol


class LongTerm(Protocol):
    """What graphs and clients keep across threads: LangGraph's BaseStore, one for each owner."""

    def of(self, owner: str) -> Any:
        """The owner's BaseStore: no namespace reaches another's items."""
        ...

    async def expire(self, *, limit: int) -> int:
        """Delete items past their TTL; how many."""
        ...
