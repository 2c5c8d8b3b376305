"""The statements of model calls: rate limits, calls on record, batches."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.calls import BatchCall, Json, Turn, Whose, Wish
from graph.usage import Spent, Totals

SHORTEST_WAIT = 1.0  # of a refusal that somebody who came in between is the reason for
LIMIT = 1000


class Calls:
    """`CallStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def reserve(self, wish: Wish, *, now: datetime | None = None) -> Turn:
        params = {
            "buckets": list(wish.buckets),
            "caps": _floats(wish.caps),
            "rates": _floats(wish.rates),
            "costs": _floats(wish.costs),
            "needs": _floats(wish.needs),
            "takes": wish.takes,
            "now": now,
        }
        row = await self.db.one("reserve", params)
        assert row is not None, "reserve always answers"
        if row["bucket"] is None:
            return Turn(None, wait=row["wait"] or SHORTEST_WAIT)
        return Turn(row["bucket"], tuple(row["room"]))

    async def settle(self, bucket: str, more: Sequence[float], *, pause: float = 0.0) -> None:
        params = {"bucket": bucket, "more": _floats(more), "pause": float(pause)}
        await self.db.all("settle", params)

    async def open_call(self, whose: Whose, most: Spent) -> None:
        await self.db.all("open_call", {**asdict(whose), **asdict(most)})

    async def drop_call(self, call_id: str) -> None:
        await self.db.all("drop_call", {"call_id": call_id})

    async def charge_open(self, thread_id: str, owner: str) -> Mapping[str, Totals]:
        params = {"thread_id": thread_id, "owner": owner, "older_than": None, "limit": LIMIT}
        rows = await self.db.all("charge_open", params)
        return {row["run_id"]: Totals(row["calls"], row["tokens"], row["usd"]) for row in rows}

    async def charge_abandoned(self, *, older_than: float, limit: int) -> int:
        params = {"thread_id": None, "owner": None, "older_than": older_than, "limit": limit}
        return sum(row["calls"] for row in await self.db.all("charge_open", params))

    async def prune_usage(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        params = {"older_than": older_than, "limit": limit, "now": now}
        return len(await self.db.all("prune_usage", params))

    async def ask_batch(self, call: BatchCall) -> BatchCall:
        params = {
            **asdict(call.whose),
            "key": call.key,
            "node": call.node,
            "model": call.model,
            "request": Jsonb(call.request),
        }
        row = await self.db.one("ask_batch", params)
        return call if row is None else _call(row)  # none: made by somebody at this very moment

    async def find_batch_call(self, key: str) -> BatchCall | None:
        row = await self.db.one("find_batch_call", {"key": key})
        return _call(row) if row else None

    async def take_batch(self, *, limit: int) -> list[BatchCall]:
        return [_call(row) for row in await self.db.readable("take_batch", {"limit": limit})]

    async def batch_sent(self, keys: Sequence[str], batch_id: str) -> None:
        await self.db.all("batch_sent", {"keys": list(keys), "batch_id": batch_id})

    async def batch_unsent(self, keys: Sequence[str]) -> None:
        await self.db.all("batch_unsent", {"keys": list(keys)})

    async def forget_batch(self, batch_id: str) -> None:
        await self.db.all("forget_batch", {"batch_id": batch_id})

    async def open_batches(self) -> list[str]:
        return [row["batch_id"] for row in await self.db.all("open_batches", {})]

    async def unsure_batch_calls(self, *, older_than: float) -> Mapping[str, datetime]:
        rows = await self.db.all("unsure_batch_calls", {"older_than": older_than})
        return {row["call_key"]: row["taken_at"] for row in rows}

    async def known_batches(self, batch_ids: Sequence[str]) -> set[str]:
        rows = await self.db.all("known_batches", {"batch_ids": list(batch_ids)})
        return {row["batch_id"] for row in rows}

    async def answer_batch_call(
        self, key: str, result: Json, spent: Spent | None
    ) -> tuple[str, int, str] | None:
        names = ("model", "input_tokens", "output_tokens", "cached_tokens", "usd")
        numbers = {name: getattr(spent, name, None) for name in names}
        row = await self.db.one(
            "answer_batch_call", {**numbers, "key": key, "result": Jsonb(result)}
        )
        return (row["thread_id"], row["seq"], row["owner"]) if row else None


def _floats(numbers: Sequence[float]) -> list[float]:
    return [float(n) for n in numbers]


def _call(row: Mapping[str, Any]) -> BatchCall:
    return BatchCall(
        key=row["call_key"],
        whose=Whose(row["owner"], row["thread_id"], row["run_id"], row["seq"]),
        node=row["node"],
        model=row["model"],
        request=row["request"],
        result=row["result"],
        tries=row["tries"],
    )
