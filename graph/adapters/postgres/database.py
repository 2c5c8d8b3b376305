"""One connection for a process, fit for a transaction-pooling proxy and for a frozen Lambda."""

import asyncio
import contextlib
import logging
import select
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps

from graph.adapters.postgres.arrays import Column, ColumnDumper
from graph.adapters.postgres.jsonb import jsonb_text
from graph.adapters.postgres.queries import query
from graph.adapters.sealing import Seals
from graph.errors import KeyMissing, Tampered, Unavailable
from graph.timing import database_time

log = logging.getLogger("baton.store")

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
        self,
        url: str,
        *,
        password: Password | None = None,
        prepares: bool = False,
        seals: Seals | None = None,
    ) -> None:
        self._url = url
        self.seals = seals or Seals()
        self._prepares = prepares
        self._password = password
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._opening = asyncio.Lock()
        self._beside: Database | None = None
        self._used: psycopg.AsyncCursor[DictRow] | None = None
        self._one_by_one = asyncio.Lock()  # who executes fetches, too, before another does
        self._turn = asyncio.Lock()
        self._in_transaction = False

    async def all(self, name: str, params: Mapping[str, Any]) -> list[DictRow]:
        """The rows of a statement; none for one that returns nothing."""
        return [self.opened(row, params) for row in await self.closed(name, params)]

    async def one(self, name: str, params: Mapping[str, Any]) -> DictRow | None:
        rows = await self.all(name, params)
        return rows[0] if rows else None

    async def closed(self, name: str, params: Mapping[str, Any]) -> list[DictRow]:
        """The same as they are stored, to be `opened` one by one: a bad one spoils no other."""
        return await self._run(name, query(name, params), params)

    def opened(self, row: DictRow, params: Mapping[str, Any]) -> DictRow:
        """Raises KeyMissing, Tampered."""
        return self.seals.opened(row, params)

    async def readable(self, name: str, params: Mapping[str, Any]) -> list[DictRow]:
        """The rows of many owners that open; the others are logged, and stay what they are."""
        rows = []
        for row in await self.closed(name, params):
            try:
                rows.append(self.opened(row, params))
            except (KeyMissing, Tampered) as error:
                log.error("%s: a row of %s is left out: %s", name, row.get("owner"), error)
        return rows

    async def _run(self, name: str, statement: str, params: Mapping[str, Any]) -> list[DictRow]:
        statement, params = self.seals.sealed(statement, params)
        with database_time():
            async with self._one_by_one:
                return await self._executed(name, statement, params)

    async def _executed(
        self, name: str, statement: str, params: Mapping[str, Any]
    ) -> list[DictRow]:
        cursor = await self._cursor()
        try:
            await cursor.execute(statement, params)
            return await cursor.fetchall() if cursor.rownumber is not None else []
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"Postgres failed in {name}: {error}") from error
        except ReadOnlySqlTransaction as error:  # a primary no more: who connects anew finds it
            await cursor.connection.close()
            raise Unavailable(f"Postgres takes no writes in {name}: {error}") from error

    async def _cursor(self) -> psycopg.AsyncCursor[DictRow]:
        """The connection's one cursor: it remembers how a statement's parameters are sent."""
        connection = await self.connection()
        if self._used is None or self._used.connection is not connection:
            self._used = connection.cursor(binary=True)
        return self._used

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator["Database"]:
        """The database on a second connection: what is run on it is kept whole or not at all.

        Callers take turns. For what several statements make together; short, with nothing between
        them.
        """
        async with self._turn:
            beside = self._beside = self._beside or self.another()
            connection = await beside.connection()
            beside._in_transaction = True
            try:
                async with connection.transaction():
                    yield beside
                    if connection.closed:  # psycopg would leave it at that
                        raise Unavailable("Postgres has gone in the middle of a transaction")
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise Unavailable(f"Postgres failed in a transaction: {error}") from error
            finally:
                beside._in_transaction = False

    def another(self) -> "Database":
        """The same database on a connection of its own."""
        return Database(
            self._url, password=self._password, prepares=self._prepares, seals=self.seals
        )

    async def close(self) -> None:
        if self._beside is not None:
            await self._beside.close()
        if self._connection is not None:
            await self._connection.close()

    async def connection(self) -> psycopg.AsyncConnection[DictRow]:
        """The open connection; raises Unavailable."""
        if self._connection is not None and (self._in_transaction or _alive(self._connection)):
            return self._connection  # in a transaction no other will do, dead or alive
        async with self._opening:
            if self._connection is None or not _alive(self._connection):
                if self._connection is not None:
                    await self._connection.close()
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> psycopg.AsyncConnection[DictRow]:
        target = {**CONNECT, **conninfo_to_dict(self._url)}  # what the URL says has the last word
        if self._password:
            target["password"] = self._password()
        try:
            connection = await psycopg.AsyncConnection.connect(
                autocommit=True,
                prepare_threshold=1 if self._prepares else None,
                row_factory=dict_row,
                **target,
            )
        except psycopg.OperationalError as error:
            raise Unavailable(f"Postgres cannot be reached: {error}") from error
        set_json_dumps(jsonb_text, connection)
        connection.adapters.register_dumper(Column, ColumnDumper)
        return connection


def _alive(connection: psycopg.AsyncConnection[DictRow]) -> bool:
    """Whether an idle connection is still open: the server's goodbye is there to be read."""
    if connection.closed or connection.broken:
        return False
    if connection.lock.locked():  # in use: what is there to be read is an answer
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)
