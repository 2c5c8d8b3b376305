"""The connections' statements."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.errors import Conflict, NotFound
from graph.runtime.models import (
    LONGEST_CONNECTION,
    MOST_SUBSCRIPTIONS,
    Connected,
    Event,
    News,
    RunEnd,
    RunStatus,
    Subscription,
    Wish,
)


class Sockets:
    """`SocketStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def connect(self, connection_id: str, who: Connected, *, lasts: float) -> None:
        params = {
            "connection_id": connection_id,
            "owner": who.owner,
            "caller": None if who.user is None else Jsonb(who.user),
            "lasts": lasts,
        }
        await self.db.all("connect", params)

    async def disconnect(self, connection_ids: Sequence[str]) -> None:
        await self.db.all("disconnect", {"connection_ids": list(connection_ids)})

    async def connected(self, connection_id: str) -> Connected:
        row = await self.db.one("connected", {"connection_id": connection_id})
        if row is None:
            raise NotFound("this connection is over: connect again")
        return Connected(row["owner"], row["caller"])

    async def subscribe(self, wish: Wish) -> int:
        params = {
            "connection_id": wish.connection_id,
            "owner": wish.owner,
            "thread_id": wish.thread_id,
            "run_id": wish.run_id,
            "since": wish.since,
            "channels": list(wish.channels),
            "lasts": LONGEST_CONNECTION,
            "most": MOST_SUBSCRIPTIONS,
        }
        try:
            row = await self.db.one("subscribe", params)
        except psycopg.errors.ForeignKeyViolation:  # disconnected, or deleted, in this moment
            row = await self.db.one("subscribe", params)
        assert row is not None, "subscribe always answers"
        if row["cursor"] is not None:
            return int(row["cursor"])
        raise _not_followed(wish, row["held"])

    async def unsubscribe(self, connection_id: str, thread_id: str, run_id: str = "") -> None:
        params = {"connection_id": connection_id, "thread_id": thread_id, "run_id": run_id}
        await self.db.all("unsubscribe", params)

    async def due_subscriptions(
        self, thread_id: str, *, lease: float, limit: int, now: datetime | None = None
    ) -> list[Subscription]:
        params = {"thread_id": thread_id, "lease": lease, "limit": limit, "now": now}
        return [_subscription(row) for row in await self.db.all("due_subscriptions", params)]

    async def thread_news(
        self, thread_id: str, *, after: int, ended_after: datetime, limit: int
    ) -> News:
        params = {
            "thread_id": thread_id,
            "after": after,
            "ended_after": ended_after,
            "limit": limit,
        }
        rows = await self.db.all("thread_news", params)
        told = sorted((r for r in rows if r["seq"] is not None), key=lambda r: int(r["seq"]))
        more = len(told) >= limit
        upto = told[-1]["seq"] if more else max((r["upto"] for r in rows), default=after)
        return News(
            upto=upto,
            events=tuple((r["run_id"], Event(r["name"], r["data"], r["seq"])) for r in told),
            ends=tuple(
                RunEnd(r["run_id"], RunStatus(r["status"]), r["ended_at"], r["error"])
                for r in rows
                if r["status"] is not None
            ),
            more=more,
        )

    async def settle_subscriptions(
        self, told: Sequence[Subscription], *, rest: float | None = None
    ) -> None:
        if not told:
            return
        params = {
            "thread_id": told[0].thread_id,
            "run_ids": [s.run_id for s in told],
            "connection_ids": [s.connection_id for s in told],
            "fences": [s.fence for s in told],
            "cursors": [s.cursor for s in told],
            "ended": [s.ended_after for s in told],
            "failures": [s.failures for s in told],
            "over": [s.over for s in told],
            "rest": rest,
        }
        await self.db.all("settle_subscriptions", params)

    async def overdue_subscriptions(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[str, str]]:
        params = {"grace": grace, "limit": limit, "now": now}
        rows = await self.db.all("overdue_subscriptions", params)
        return [(row["thread_id"], row["owner"]) for row in rows]

    async def expire_connections(self, *, limit: int, now: datetime | None = None) -> int:
        return len(await self.db.all("expire_connections", {"limit": limit, "now": now}))


def _not_followed(wish: Wish, held: int | None) -> NotFound | Conflict:
    if held is None:
        return NotFound("this connection is over: connect again")
    if held >= MOST_SUBSCRIPTIONS:
        return Conflict(f"a connection follows at most {MOST_SUBSCRIPTIONS} threads: leave one")
    if wish.run_id:
        return NotFound(f"run {wish.run_id} does not exist on thread {wish.thread_id}")
    return NotFound(f"thread {wish.thread_id} does not exist")


def _subscription(row: Mapping[str, Any]) -> Subscription:
    return Subscription(
        thread_id=row["thread_id"],
        run_id=row["run_id"],
        connection_id=row["connection_id"],
        channels=tuple(row["channels"]),
        cursor=row["cursor"],
        ended_after=row["ended_after"],
        fence=row["fence"],
        failures=row["failures"],
    )
