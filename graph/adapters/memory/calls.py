"""Rate limits, calls on record and batches on memory."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from graph.adapters.memory.call_rows import Asked, Bucket
from graph.adapters.memory.tables import Call, MemoryTables
from graph.calls import BatchCall, Json, Turn, Whose, Wish
from graph.usage import Spent, Totals, total


class MemoryCalls(MemoryTables):
    """`CallStore` on memory."""

    async def reserve(self, wish: Wish, *, now: datetime | None = None) -> Turn:
        now = now or self.clock()
        buckets = self.tables.model_calls.buckets
        pool = {name: buckets.get(name) or Bucket(wish.caps, now) for name in wish.buckets}
        name = min(pool, key=lambda name: pool[name].short(wish, now))
        bucket = buckets[name] = pool[name]
        short = bucket.short(wish, now)
        if short > 0:
            bucket.promised = max(bucket.promised, now + timedelta(seconds=short))
            bucket.promised += timedelta(seconds=wish.takes)
            return Turn(None, wait=(bucket.promised - now).total_seconds())
        bucket.room, bucket.at = bucket.refilled(wish, now), now
        bucket.take(wish.costs)
        return Turn(name, bucket.room)

    async def settle(self, bucket: str, more: Sequence[float], *, pause: float = 0.0) -> None:
        row = self.tables.model_calls.buckets[bucket]
        row.take(more)
        if pause > 0:
            row.paused_until = max(row.paused_until, self.clock() + timedelta(seconds=pause))

    async def open_call(self, whose: Whose, most: Spent) -> None:
        self.tables.calls.append(
            Call(whose.owner, whose.thread_id, whose.run_id, whose.seq, most, True, self.clock())
        )

    async def drop_call(self, call_id: str) -> None:
        self.tables.calls = [
            c for c in self.tables.calls if not (c.opened_at and c.spent.call_id == call_id)
        ]

    async def charge_open(self, thread_id: str, owner: str) -> Mapping[str, Totals]:
        return self._charge(lambda call, _: (call.thread_id, call.owner) == (thread_id, owner))

    async def charge_abandoned(self, *, older_than: float, limit: int) -> int:
        bound = self.clock() - timedelta(seconds=older_than)
        found = self._charge(lambda _, opened: opened < bound, limit)
        return sum(spent.calls for spent in found.values())

    def _charge(
        self, late: Callable[[Call, datetime], bool], limit: int = 1000
    ) -> Mapping[str, Totals]:
        spent: dict[str, Totals] = defaultdict(Totals)
        for n, call in enumerate(self.tables.calls):
            if call.opened_at is None or not late(call, call.opened_at) or limit <= 0:
                continue
            limit -= 1
            self.tables.calls[n] = replace(call, opened_at=None)
            spent[call.run_id] += total([call.spent])
            self.tables.count(call.owner, call.thread_id, call.run_id, [call.spent])
        return spent

    async def prune_usage(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        bound = (now or self.clock()) - timedelta(seconds=older_than)
        old = [call for call in self.tables.calls if call.spent_at < bound][:limit]
        self.tables.calls = [call for call in self.tables.calls if call not in old]
        return len(old)

    async def ask_batch(self, call: BatchCall) -> BatchCall:
        return self.tables.model_calls.batch.setdefault(call.key, Asked(call)).call

    async def find_batch_call(self, key: str) -> BatchCall | None:
        asked = self.tables.model_calls.batch.get(key)
        return asked.call if asked else None

    async def take_batch(self, *, limit: int) -> list[BatchCall]:
        asked = self.tables.model_calls.batch.values()
        taken = [row for row in asked if row.taken_at is None][:limit]
        for row in taken:
            row.taken_at = self.clock()
            row.call = replace(row.call, tries=row.call.tries + 1)
        return [row.call for row in taken]

    async def batch_sent(self, keys: Sequence[str], batch_id: str) -> None:
        for row in self._open(keys):
            row.batch_id = batch_id

    async def batch_unsent(self, keys: Sequence[str]) -> None:
        for row in self._open(keys):
            row.taken_at = row.batch_id = None

    async def forget_batch(self, batch_id: str) -> None:
        await self.batch_unsent([r.call.key for r in self._open() if r.batch_id == batch_id])

    def _open(self, keys: Sequence[str] | None = None) -> list[Asked]:
        rows = self.tables.model_calls.batch
        found = rows.values() if keys is None else [rows[key] for key in keys if key in rows]
        return [row for row in found if row.call.result is None]

    async def open_batches(self) -> list[str]:
        return sorted({row.batch_id for row in self._open() if row.batch_id})

    async def unsure_batch_calls(self, *, older_than: float) -> Mapping[str, datetime]:
        bound = self.clock() - timedelta(seconds=older_than)
        unsure = [row for row in self._open() if row.taken_at and not row.batch_id]
        return {r.call.key: r.taken_at for r in unsure if r.taken_at and r.taken_at < bound}

    async def known_batches(self, batch_ids: Sequence[str]) -> set[str]:
        known = {row.batch_id for row in self.tables.model_calls.batch.values()}
        return {batch_id for batch_id in batch_ids if batch_id in known}

    async def answer_batch_call(
        self, key: str, result: Json, spent: Spent | None
    ) -> tuple[str, int, str] | None:
        row = self.tables.model_calls.batch.get(key)
        if row is None or row.call.result is not None:
            return None
        row.call = replace(row.call, result=result)
        whose = row.call.whose
        if spent:
            self.tables.calls.append(
                Call(whose.owner, whose.thread_id, whose.run_id, whose.seq, spent, False)
            )
            self.tables.count(whose.owner, whose.thread_id, whose.run_id, [spent])
        thread = self.tables.threads[whose.thread_id]
        if thread.thread.active_run_id != whose.run_id:
            return None
        thread.wake_at = None
        thread.update(updated_at=self.clock())
        return whose.thread_id, thread.thread.seq, whose.owner
