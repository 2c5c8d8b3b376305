"""The long-term store: LangGraph's own on Postgres, behind a proxy, one for each owner."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from graph.adapters.postgres.database import Database
from graph.adapters.store_config import StoreConfig

if TYPE_CHECKING:
    from graph.adapters.long_term.items import Items
    from graph.adapters.long_term.owned import OwnedStore


class LongTermStore:
    """`LongTerm` in Postgres; LangGraph's store is imported, and a connection opened, on first use.

    The connection must be its own: the statements of a batch are sent together, as one
    transaction, and nobody else's may get between them.
    """

    def __init__(self, db: Database, config: StoreConfig) -> None:
        self.db = db
        self.config = config
        self._items: Items | None = None
        self._opening = asyncio.Lock()

    def of(self, owner: str) -> "OwnedStore":
        from graph.adapters.long_term.owned import OwnedStore

        return OwnedStore(self._opened, owner, self.config.ttl)

    async def _opened(self) -> "Items":
        async with self._opening:
            if self._items is None:
                from graph.adapters.long_term.items import (  # only where used
                    open_items,
                )

                self._items = await open_items(self.db, self.config)
            return self._items

    async def expire(self, *, limit: int, now: datetime | None = None) -> int:
        return len(await self.db.all("expire_items", {"limit": limit, "now": now}))

    async def close(self) -> None:
        await self.db.close()
