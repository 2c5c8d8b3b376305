"""A store under test, with the hands a test needs on it: more connections, and order."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Protocol

import psycopg

from graph.adapters.memory import MemoryStore
from graph.adapters.postgres import PostgresStore
from graph.adapters.sealing import NO_KEYS, Keys
from graph.runtime.ports import Store


class Lab(Protocol):
    """One database, as many connections as a test wants."""

    @property
    def store(self) -> Store: ...

    def another(self, *, stopped: bool = False) -> Store:
        """The same database on a connection of its own."""
        ...

    async def in_order(self, thread_id: str, *calls: Awaitable[Any]) -> list[Any]:
        """What calls (each on its own connection) give that meet at the thread's row in this order.

        An exception is given as a value.
        """
        ...


class MemoryLab:
    """The double: calls never overlap."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def another(self, *, stopped: bool = False) -> MemoryStore:
        return MemoryStore(self.store.tables, stopped=stopped)

    async def in_order(self, thread_id: str, *calls: Awaitable[Any]) -> list[Any]:
        return [(await asyncio.gather(call, return_exceptions=True))[0] for call in calls]


class PostgresLab:
    """Postgres through the proxy, and a direct connection to look and hold from outside."""

    def __init__(self, database_url: str, direct_url: str, *, keys: Keys = NO_KEYS) -> None:
        self.database_url = database_url
        self.direct_url = direct_url
        self.keys = keys
        self.store = PostgresStore(database_url, keys=keys)
        self.opened = [self.store]

    def another(self, *, stopped: bool = False) -> PostgresStore:
        self.opened.append(PostgresStore(self.database_url, stopped=stopped, keys=self.keys))
        return self.opened[-1]

    async def close(self) -> None:
        for store in self.opened:
            await store.close()

    async def in_order(self, thread_id: str, *calls: Awaitable[Any]) -> list[Any]:
        """Hold the row's lock until each call waits for it: Postgres serves them in order."""
        tasks: list[asyncio.Future[Any]] = []
        async with await psycopg.AsyncConnection.connect(self.direct_url) as holder:
            await holder.execute("SELECT FROM threads WHERE thread_id = %s FOR UPDATE", [thread_id])
            for call in calls:
                tasks.append(asyncio.ensure_future(call))
                await self._until_waiting(tasks)
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_waiting(self, tasks: list[asyncio.Future[Any]]) -> None:
        deadline = time.monotonic() + 10
        async with await psycopg.AsyncConnection.connect(
            self.direct_url, autocommit=True
        ) as watcher:
            while await _waiting(watcher) < sum(not task.done() for task in tasks):
                assert time.monotonic() < deadline, "a call neither ended nor met the thread's row"
                await asyncio.sleep(0.002)


async def _waiting(watcher: psycopg.AsyncConnection[Any]) -> int:
    cursor = await watcher.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    (count,) = await cursor.fetchone() or (0,)
    return int(count)
