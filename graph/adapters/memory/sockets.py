"""Connections on memory."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta

from graph.adapters.memory.tables import Followed, MemoryTables, ThreadRow
from graph.errors import Conflict, NotFound
from graph.runtime.models import (
    LONGEST_CONNECTION,
    MOST_SUBSCRIPTIONS,
    NEVER,
    Connected,
    News,
    Run,
    RunEnd,
    Subscription,
    Wish,
)


class MemorySockets(MemoryTables):
    """`SocketStore` on memory."""

    async def connect(self, connection_id: str, who: Connected, *, lasts: float) -> None:
        ends_at = self.clock() + timedelta(seconds=lasts)
        self.tables.connections[connection_id] = (deepcopy(who), ends_at)

    async def disconnect(self, connection_ids: Sequence[str]) -> None:
        for connection_id in connection_ids:
            self.tables.drop_connection(connection_id)

    async def connected(self, connection_id: str) -> Connected:
        who, ends_at = self.tables.connections.get(connection_id, (Connected(""), NEVER))
        if ends_at <= self.clock():
            raise NotFound("this connection is over: connect again")
        return who

    async def subscribe(self, wish: Wish) -> int:
        if (await self.connected(wish.connection_id)).owner != wish.owner:
            raise NotFound("this connection is over: connect again")
        held = [key for key in self.tables.subscriptions if key[2] == wish.connection_id]
        if len(held) >= MOST_SUBSCRIPTIONS:
            raise Conflict(f"a connection follows at most {MOST_SUBSCRIPTIONS} threads: leave one")
        row, now = self._owned(wish.thread_id, wish.owner), self.clock()
        if wish.run_id:
            self._run_of(wish.run_id, wish.thread_id, wish.owner)
        key = (wish.thread_id, wish.run_id, wish.connection_id)
        known = self.tables.subscriptions.get(key)
        fresh = row.events if not wish.run_id else 0
        subscription = Subscription(
            *key,
            channels=wish.channels,
            cursor=min(row.events, fresh if wish.since is None else wish.since),
            ended_after=self._told_whole(wish, now),
            fence=known.subscription.fence + 1 if known else 0,
        )
        self.tables.subscriptions[key] = Followed(subscription)
        row.watched_until = now + timedelta(seconds=LONGEST_CONNECTION)
        return subscription.cursor

    def _told_whole(self, wish: Wish, now: datetime) -> datetime:
        """The end of the last run of which this connection knows all."""
        if wish.run_id:
            ended_at = self.tables.runs[wish.run_id].ended_at
            return ended_at - timedelta(microseconds=1) if ended_at else now
        if wish.since is None:
            return now
        ends = [
            run.ended_at
            for run in self._runs_on(wish.thread_id)
            if run.ended_at and 0 < self._last_event(run.run_id) < wish.since
        ]
        return max(ends, default=NEVER)

    async def unsubscribe(self, connection_id: str, thread_id: str, run_id: str = "") -> None:
        self.tables.subscriptions.pop((thread_id, run_id, connection_id), None)

    async def due_subscriptions(
        self, thread_id: str, *, lease: float, limit: int, now: datetime | None = None
    ) -> list[Subscription]:
        now, row = now or self.clock(), self.tables.threads.get(thread_id)
        if row is None:
            return []
        followed = [f for key, f in self.tables.subscriptions.items() if key[0] == thread_id]
        if not followed:
            row.watched_until = None
        taken = []
        for one in [f for f in followed if f.free(now) and self._has_news(row, f)][:limit]:
            if self.tables.connections[one.subscription.connection_id][1] <= now:
                continue
            one.lease_until = now + timedelta(seconds=lease)
            one.subscription = replace(one.subscription, fence=one.subscription.fence + 1)
            taken.append(one.subscription)
        return taken

    async def thread_news(
        self, thread_id: str, *, after: int, ended_after: datetime, limit: int
    ) -> News:
        row = self.tables.threads.get(thread_id)
        if row is None:
            return News(after, (), ())
        runs = [r for r in self._runs_on(thread_id) if not r.ended_at or r.ended_at > ended_after]
        told = [
            (run.run_id, event)
            for run in runs
            for _, event in self.tables.events.get(run.run_id, [])
            if event.seq > after
        ]
        told.sort(key=lambda it: it[1].seq)
        more = len(told) >= limit
        ends = [RunEnd(r.run_id, r.status, r.ended_at, r.error) for r in runs if r.ended_at]
        return News(
            upto=told[limit - 1][1].seq if more else row.events,
            events=tuple(told[:limit]),
            ends=tuple(sorted(ends, key=lambda end: end.ended_at)),
            more=more,
        )

    async def settle_subscriptions(
        self, told: Sequence[Subscription], *, rest: float | None = None
    ) -> None:
        for one in told:
            key = (one.thread_id, one.run_id, one.connection_id)
            held = self.tables.subscriptions.get(key)
            if held is None or held.subscription.fence != one.fence:
                continue
            if one.over:
                del self.tables.subscriptions[key]
                continue
            until = None if rest is None else self.clock() + timedelta(seconds=rest)
            self.tables.subscriptions[key] = Followed(one, until)

    async def overdue_subscriptions(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[str, str]]:
        now = now or self.clock()
        bound = now - timedelta(seconds=grace)
        late = {}
        for (thread_id, _, _), one in self.tables.subscriptions.items():
            row = self.tables.threads[thread_id]
            if one.free(now) and self._has_news(row, one) and row.thread.updated_at < bound:
                late[thread_id] = row.thread.owner
        return list(late.items())[:limit]

    async def expire_connections(self, *, limit: int, now: datetime | None = None) -> int:
        now = now or self.clock()
        late = [name for name, (_, ends_at) in self.tables.connections.items() if ends_at <= now]
        for connection_id in late[:limit]:
            self.tables.drop_connection(connection_id)
        return len(late[:limit])

    def _has_news(self, row: ThreadRow, one: Followed) -> bool:
        subscription = one.subscription
        ends = [run.ended_at for run in self._runs_on(row.thread.thread_id) if run.ended_at]
        return subscription.cursor < row.events or subscription.ended_after < max(
            ends, default=NEVER
        )

    def _runs_on(self, thread_id: str) -> list[Run]:
        return [run for run in self.tables.runs.values() if run.thread_id == thread_id]

    def _last_event(self, run_id: str) -> int:
        return max((event.seq for _, event in self.tables.events.get(run_id, [])), default=0)
