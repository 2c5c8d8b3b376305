"""Housekeeping on memory."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from graph.adapters.memory.tables import MemoryTables, ThreadRow
from graph.runtime.models import Backlog, StepJob, Thread, WebhookStatus
from graph.runtime.retention import ALL, KEEPS, KEY, LATEST

ROW_BYTES = 1000  # what a row is taken to be


class MemorySweep(MemoryTables):
    """`SweepStore` on memory."""

    async def overdue(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[StepJob, str]]:
        now = now or self.clock()
        silent = sorted(self._silent(grace, now), key=_quiet_from)[:limit]
        for row in silent:
            row.rung_at = now
        threads = [row.thread for row in silent]
        return [(StepJob(t.thread_id, t.seq, redelivered=True), t.owner) for t in threads]

    async def expire_threads(self, *, limit: int, now: datetime | None = None) -> int:
        expired = self._expired(now or self.clock())[:limit]
        for thread_id in expired:
            self.tables.drop_thread(thread_id)
        return len(expired)

    async def worn_threads(
        self, keep: str, *, window: int, limit: int, now: datetime | None = None
    ) -> Mapping[str, str]:
        now = now or self.clock()
        ahead = sorted(name for name in self.tables.threads if name > self.tables.walk)
        passed = ahead[:window]
        judged = {name: self._keep(self.tables.threads[name], keep, now) for name in passed}
        worn = {
            name: keeps
            for name, keeps in judged.items()
            if keeps != ALL and _is_worn(self.tables.threads[name], keeps, now)
        }
        found = dict(list(worn.items())[:limit])
        if len(found) == limit:
            self.tables.walk = max(found, default="")
        else:
            self.tables.walk = passed[-1] if len(passed) == window else ""
        return found

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        old = self._ended_before((now or self.clock()) - timedelta(seconds=older_than))[:limit]
        for run_id in old:
            self.tables.drop_run(run_id)
        return len(old)

    async def prune_keys(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        now = now or self.clock()
        bound = now - timedelta(seconds=older_than)
        keys = self.tables.keys.values()
        old = [k.key_id for k in keys if k.expires_at and k.expires_at < bound][:limit]
        full = [owner for owner, due in self.tables.turns.items() if due < now][:limit]
        for key_id in old:
            del self.tables.keys[key_id]
        for owner in full:
            del self.tables.turns[owner]
        return len(old) + len(full)

    async def backlog(
        self, *, grace: float, older_than: float, limit: int, now: datetime | None = None
    ) -> Backlog:
        now = now or self.clock()
        quiet, old = now - timedelta(seconds=grace), now - timedelta(seconds=older_than)
        pending = [w for w in self.tables.webhooks.values() if w.status is WebhookStatus.PENDING]
        return Backlog(
            overdue_steps=len(self._silent(grace, now)[:limit]),
            overdue_webhooks=len([w for w in pending if w.due < quiet][:limit]),
            expired_threads=len(self._expired(now)[:limit]),
            ended_runs=len(self._ended_before(old)[:limit]),
            bytes={
                "threads": len(self.tables.threads) * ROW_BYTES,
                "runs": len(self.tables.runs) * ROW_BYTES,
            },
        )

    def _silent(self, grace: float, now: datetime) -> list[ThreadRow]:
        rows = self.tables.threads.values()
        since = now - timedelta(seconds=grace)
        return [row for row in rows if row.thread.active_run_id and _quiet_from(row) < since]

    def _expired(self, now: datetime) -> list[str]:
        """Those that are past their TTL for longest first."""
        rows = self.tables.threads.values()
        past = [row.thread for row in rows if _is_past_ttl(row, "delete", now)]
        return [thread.thread_id for thread in sorted(past, key=_expires_at)]

    def _ended_before(self, bound: datetime) -> list[str]:
        runs = self.tables.runs.values()
        return [run.run_id for run in runs if run.status.ended and run.updated_at < bound]

    def _keep(self, row: ThreadRow, default: str, now: datetime) -> str:
        if _is_past_ttl(row, "keep_latest", now):
            return LATEST
        name = (row.thread.owner, row.thread.metadata.get("assistant_id", ""))
        assistant = self.tables.assistants.get(name)
        said = str(assistant.metadata.get(KEY, "")) if assistant else ""
        return said if re.fullmatch(KEEPS, said) else default


def _is_worn(row: ThreadRow, keep: str, now: datetime) -> bool:
    at_rest = row.thread.active_run_id is None and not row.leased(now)
    return at_rest and row.thread.head is not None and row.thinned != row.stamp(keep)


def _quiet_from(row: ThreadRow) -> datetime:
    """When it last moved or was rung, or, in the future, when its lease ends or it is due."""
    times = (row.thread.updated_at, row.rung_at, row.wake_at, row.lease_until)
    return max(time for time in times if time)


def _is_past_ttl(row: ThreadRow, strategy: str, now: datetime) -> bool:
    thread = row.thread
    if thread.ttl_minutes is None or thread.active_run_id is not None:
        return False
    return _expires_at(thread) < now and thread.ttl_strategy == strategy


def _expires_at(thread: Thread) -> datetime:
    return thread.updated_at + timedelta(minutes=thread.ttl_minutes or 0)
