"""The agents' connection to Postgres, one for each event loop, from DATABASE_URL."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import DictRow, dict_row

from graph import PermanentFailure
from graph.iam import password_maker

Connection = psycopg.AsyncConnection[DictRow]


@dataclass(slots=True)
class _Link:
    """The connection an event loop works through."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Connection | None = None


_links: WeakKeyDictionary[asyncio.AbstractEventLoop, _Link] = WeakKeyDictionary()


async def rows(statement: str, values: Mapping[str, Any]) -> list[DictRow]:
    """What a statement returns; it is its own transaction.

    It is sent again when the connection turns out to be dead, so it must be safe to repeat: a
    read, or a write under an effect key.
    """
    connection = await _linked()
    try:
        return await _execute(connection, statement, values)
    except psycopg.OperationalError:
        if not connection.broken:
            raise
    # It died while the process was frozen, or the server went away.
    return await _execute(await _linked(), statement, values)


async def connect(database_url: str) -> Connection:
    """A connection of the caller's own, fit for a transaction-pooling proxy.

    With DATABASE_IAM or DATABASE_SECRET_ARN it logs in as Baton's functions do.
    """
    iam = os.environ.get("DATABASE_IAM", "").lower() in ("1", "true", "yes", "on")
    secret_arn = os.environ.get("DATABASE_SECRET_ARN", "")
    ask = password_maker(database_url, iam=iam, secret_arn=secret_arn)
    password: dict[str, Any] = {"password": ask()} if ask else {}
    return await psycopg.AsyncConnection.connect(
        database_url,
        autocommit=True,
        prepare_threshold=None,
        row_factory=dict_row,
        connect_timeout=5,
        keepalives_idle=30,
        tcp_user_timeout=10_000,
        **password,
    )


async def close() -> None:
    """Close this event loop's connection, if it has one."""
    link = _links.pop(asyncio.get_running_loop(), None)
    if link is not None and link.connection is not None:
        await link.connection.close()


async def _execute(
    connection: Connection, statement: str, values: Mapping[str, Any]
) -> list[DictRow]:
    async with connection.cursor() as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchall()


async def _linked() -> Connection:
    link = _links.setdefault(asyncio.get_running_loop(), _Link())
    async with link.lock:
        if link.connection is None or link.connection.closed:
            url = os.environ.get("DATABASE_URL")
            if not url:
                raise PermanentFailure("DATABASE_URL is not set: it names the agents' database")
            link.connection = await connect(url)
        return link.connection
