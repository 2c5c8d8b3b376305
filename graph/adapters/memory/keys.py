"""API keys and quotas on memory."""

from dataclasses import replace
from datetime import datetime, timedelta

from graph.adapters.memory.tables import MemoryTables
from graph.runtime.models import ApiKey

COARSE = timedelta(hours=1)


class MemoryKeys(MemoryTables):
    """`KeyStore` and `QuotaStore` on memory."""

    async def add_key(self, key: ApiKey) -> None:
        self.tables.keys[key.key_id] = key

    async def use_key(
        self, key_id: str, digest: bytes, *, now: datetime | None = None
    ) -> ApiKey | None:
        now = now or self.clock()
        key = self.tables.keys.get(key_id)
        if key is None or (key.expires_at and key.expires_at <= now):
            return None
        used = key.last_used_at
        if digest == key.digest and (used is None or used <= now - COARSE):
            self.tables.keys[key_id] = replace(key, last_used_at=now)
        return key

    async def list_keys(self, owner: str | None = None) -> list[ApiKey]:
        found = [key for key in self.tables.keys.values() if owner in (None, key.owner)]
        return sorted(found, key=lambda key: (key.created_at, key.key_id))

    async def end_key(self, key_id: str, *, after: float = 0.0) -> ApiKey | None:
        if key_id not in self.tables.keys:
            return None
        key = self.tables.keys[key_id]
        end = self.clock() + timedelta(seconds=after)
        self.tables.keys[key_id] = replace(key, expires_at=min(end, key.expires_at or end))
        return self.tables.keys[key_id]

    async def take_turn(
        self, owner: str, *, every: float, burst: int, now: datetime | None = None
    ) -> float:
        now = now or self.clock()
        due = max(self.tables.turns.get(owner, now), now)
        early = (due - now).total_seconds() - every * (burst - 1)
        if early > 0:
            return early
        self.tables.turns[owner] = due + timedelta(seconds=every)
        return 0.0
