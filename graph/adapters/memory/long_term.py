"""The long-term store on memory: LangGraph's own, each owner's apart."""

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from graph.adapters.long_term.owned import OwnedStore


class MemoryLongTerm:
    """`LongTerm` in one process; LangGraph's knows no TTL, so nothing is ever past it."""

    def __init__(self) -> None:
        self.items = InMemoryStore()

    def of(self, owner: str) -> OwnedStore:
        return OwnedStore(self._opened, owner, {"omit_expired": True})

    async def _opened(self) -> BaseStore:
        return self.items

    async def expire(self, *, limit: int) -> int:  # noqa: ARG002 - the port's
        return 0
