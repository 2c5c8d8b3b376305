"""The ports of connections: who follows what, and the way to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from graph.runtime.models import Connected, News, Subscription, Wish


class SocketStore(Protocol):
    """Connections and what they follow."""

    async def connect(self, connection_id: str, who: Connected, *, lasts: float) -> None:
        """Note a connection, for so many seconds."""
        ...

    async def disconnect(self, connection_ids: Sequence[str]) -> None:
        """Forget connections and all they follow."""
        ...

    async def connected(self, connection_id: str) -> Connected:
        """Raises NotFound when it is not there, or has outlived its time."""
        ...

    async def subscribe(self, wish: Wish) -> int:
        """Follow from the number that is returned; once more moves it.

        Whoever moves the thread on after this knows that it is watched. Raises NotFound, and
        Conflict when the connection follows too much.
        """
        ...

    async def unsubscribe(self, connection_id: str, thread_id: str, run_id: str = "") -> None: ...

    async def due_subscriptions(
        self, thread_id: str, *, lease: float, limit: int, now: datetime | None = None
    ) -> list[Subscription]:
        """Take those that something is to be told to; nobody else does, for `lease` seconds.

        None at all means that nobody watches, and the thread's next step knows.
        """
        ...

    async def thread_news(
        self, thread_id: str, *, after: int, ended_after: datetime, limit: int
    ) -> News: ...

    async def settle_subscriptions(
        self, told: Sequence[Subscription], *, rest: float | None = None
    ) -> None:
        """Note how far each was told, and let others take it, after `rest` seconds if given.

        One that was taken by somebody else meanwhile is left alone.
        """
        ...

    async def overdue_subscriptions(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[str, str]]:
        """(thread_id, owner) of threads that told something which was not passed on."""
        ...

    async def expire_connections(self, *, limit: int, now: datetime | None = None) -> int:
        """Forget those that have outlived their time; how many."""
        ...


class Gateway(Protocol):
    """The way to connections."""

    async def push(self, connection_id: str, message: bytes) -> None:
        """Raises Gone, or Undelivered."""
        ...
