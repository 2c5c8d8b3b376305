"""One connection for a process, fit for a transaction-pooling proxy and for a frozen Lambda."""

import asyncio
import select
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from graph.adapters.postgres.queries import queries
from graph.errors import Unavailable

Password = Callable[[], str]  # made at connect: an IAM token lives 15 minutes

CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "tcp_user_timeout": 10_000,
    "application_name": "baton",
}


class Database:
    """Runs named statements, each its own transaction; concurrent callers take turns.

    Nothing is set, and nothing prepared unless `prepares` says that no proxy is in between, so that
    no proxied session is pinned. A connection that died while the process slept is replaced before
    anything is sent; one that dies under a statement raises Unavailable, for nobody knows whether
    it was carried out.
    """

    def __init__(
        self, url: str, *, password: Password | None = None, prepares: bool = False
    ) -> None:
        self._url = url
        self._prepare_threshold = 1 if prepares else None
        self._password = password
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._opening = asyncio.Lock()

    async def all(self, name: str, params: Mapping[str, Any]) -> list[DictRow]:
        """The rows of a statement; none for one that returns nothing."""
        connection = await self._open()
        try:
            cursor = await connection.execute(queries()[name], params, binary=True)
            return await cursor.fetchall() if cursor.rownumber is not None else []
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"Postgres failed in {name}: {error}") from error

    async def one(self, name: str, params: Mapping[str, Any]) -> DictRow | None:
        rows = await self.all(name, params)
        return rows[0] if rows else None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> psycopg.AsyncConnection[DictRow]:
        if self._connection is not None and _alive(self._connection):
            return self._connection
        async with self._opening:
            if self._connection is None or not _alive(self._connection):
                await self.close()
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> psycopg.AsyncConnection[DictRow]:
        extra: dict[str, Any] = {"password": self._password()} if self._password else {}
        try:
            return await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                prepare_threshold=self._prepare_threshold,
                row_factory=dict_row,
                **CONNECT,
                **extra,
            )
        except psycopg.OperationalError as error:
            raise Unavailable(f"Postgres cannot be reached: {error}") from error


def _alive(connection: psycopg.AsyncConnection[DictRow]) -> bool:
    """Whether an idle connection is still open: the server's goodbye is there to be read."""
    if connection.closed or connection.broken:
        return False
    if connection.lock.locked():  # in use: what is there to be read is an answer
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)
