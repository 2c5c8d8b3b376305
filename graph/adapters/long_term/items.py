"""LangGraph's Postgres store on a connection that a proxy and a frozen Lambda allow."""

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from langgraph.store.base import Op, PutOp, Result, SearchOp, TTLConfig
from langgraph.store.postgres.aio import AsyncPostgresStore
from langgraph.store.postgres.base import PostgresIndexConfig
from psycopg.rows import DictRow, dict_row

from graph.adapters.postgres.database import Database
from graph.adapters.sealing.items import condition, opened, sealed_params, searching
from graph.adapters.store_config import Index, StoreConfig
from graph.errors import BadProject, Unavailable

log = logging.getLogger("baton.store")


class Items(AsyncPostgresStore):
    """Everybody's items. Only `abatch` is called: what one batch writes is one transaction.

    Its tables are made by migrations, what is past its TTL goes in the sweep: neither `setup` nor a
    background task is needed.
    """

    def __init__(self, db: Database, *, index: PostgresIndexConfig | None, ttl: TTLConfig) -> None:
        unconnected: Any = None  # the connection is asked for when it is needed
        super().__init__(unconnected, index=index, ttl=ttl)
        self.db = db
        self.cipher = db.seals.cipher

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return [opened(result, self.cipher) for result in await super().abatch(ops)]

    def _prepare_batch_PUT_queries(self, put_ops: Sequence[tuple[int, PutOp]]) -> Any:
        """Sealed when what makes the embeddings has been read out of them."""
        queries, embeddings = super()._prepare_batch_PUT_queries(put_ops)
        return [(sql, sealed_params(params, self.cipher)) for sql, params in queries], embeddings

    def _prepare_batch_search_queries(self, search_ops: Sequence[tuple[int, SearchOp]]) -> Any:
        asked = [(place, searching(op, self.cipher)) for place, op in search_ops]
        return super()._prepare_batch_search_queries(asked)

    def _get_filter_condition(self, key: str, op: str, value: Any) -> tuple[str, list[Any]]:
        if self.cipher.keys.secrets:
            return condition(key, op, value)
        return super()._get_filter_condition(key, op, value)

    def _ensure_task(self) -> None:
        """No batches of what several nodes ask for at once: each would wait for all."""

    @asynccontextmanager
    async def _cursor(
        self,
        *,
        pipeline: bool = False,  # noqa: ARG002 - LangGraph's; here always
    ) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        async with self.lock:
            connection = await self.db.connection()
            try:
                async with (
                    connection.pipeline(),
                    connection.cursor(binary=True, row_factory=dict_row) as cursor,
                ):
                    yield cursor
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                raise Unavailable(f"Postgres failed in the long-term store: {error}") from error


async def open_items(db: Database, config: StoreConfig) -> Items:
    """Raises BadProject when `store.index` does not fit its embeddings or the database."""
    index = config.index
    if index is not None and not await _has_vectors(db, index):
        log.warning("there are no vectors: items are not found by meaning; migrate makes them")
        index = None
    if index is None:
        return Items(db, index=None, ttl=config.ttl)
    embed = config.load(index.embed) if ".py:" in index.embed else index.embed
    try:
        searched: PostgresIndexConfig = {
            "embed": embed,
            "dims": index.dims,
            "fields": list(index.fields),
        }
        return Items(db, index=searched, ttl=config.ttl)
    except (ImportError, ValueError, TypeError) as error:
        raise BadProject(f"store.index.embed: {index.embed} cannot be used: {error}") from error


async def _has_vectors(db: Database, index: Index) -> bool:
    row = await db.one("dims_of_vectors", {})
    if row is not None and row["dims"] != index.dims:
        raise BadProject(
            f"store.index.dims is {index.dims}, the database's vectors have {row['dims']}: "
            "migrate tells what to do"
        )
    return row is not None
