"""The statements of API keys and quotas."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from graph.adapters.postgres.database import Database
from graph.runtime.models import ApiKey

SHORTEST_WAIT = 0.001  # of a refusal, which may be a moment too old


class Keys:
    """`KeyStore` and `QuotaStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def add_key(self, key: ApiKey) -> None:
        await self.db.all("add_key", asdict(key))

    async def use_key(
        self, key_id: str, digest: bytes, *, now: datetime | None = None
    ) -> ApiKey | None:
        params = {"key_id": key_id, "digest": digest, "now": now}
        return _key(await self.db.one("use_key", params))

    async def list_keys(self, owner: str | None = None) -> list[ApiKey]:
        return [ApiKey(**row) for row in await self.db.all("list_keys", {"owner": owner})]

    async def end_key(self, key_id: str, *, after: float = 0.0) -> ApiKey | None:
        return _key(await self.db.one("end_key", {"key_id": key_id, "after": after}))

    async def take_turn(
        self, owner: str, *, every: float, burst: int, now: datetime | None = None
    ) -> float:
        params = {"owner": owner, "every": every, "burst": burst, "now": now}
        row = await self.db.one("take_turn", params)
        assert row is not None, "take_turn always answers"
        return 0.0 if row["wait"] is None else max(float(row["wait"]), SHORTEST_WAIT)


def _key(row: Mapping[str, Any] | None) -> ApiKey | None:
    return ApiKey(**row) if row else None
