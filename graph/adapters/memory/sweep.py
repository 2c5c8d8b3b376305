"""Housekeeping on memory."""

from datetime import datetime, timedelta

from graph.adapters.memory.shelf import ROOT
from graph.adapters.memory.tables import MemoryTables, ThreadRow
from graph.runtime.models import StepJob


class MemorySweep(MemoryTables):
    """`SweepStore` on memory."""

    async def overdue(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[StepJob, str]]:
        now = now or self.clock()
        quiet_since = now - timedelta(seconds=grace)
        silent = [
            row
            for row in self.tables.threads.values()
            if row.thread.active_run_id and _quiet_from(row) < quiet_since
        ]
        silent = sorted(silent, key=_quiet_from)[:limit]
        for row in silent:
            row.rung_at = now
        threads = [row.thread for row in silent]
        return [(StepJob(t.thread_id, t.seq, redelivered=True), t.owner) for t in threads]

    async def expire_threads(self, *, limit: int, now: datetime | None = None) -> int:
        expired = self._past_ttl("delete", now or self.clock())[:limit]
        for thread_id in expired:
            self.tables.drop_thread(thread_id)
        return len(expired)

    async def stale_threads(self, *, limit: int, now: datetime | None = None) -> list[str]:
        idle = self._past_ttl("keep_latest", now or self.clock())
        return [thread_id for thread_id in idle if self._has_history(thread_id)][:limit]

    async def prune_runs(
        self, *, older_than: float, limit: int, now: datetime | None = None
    ) -> int:
        bound = (now or self.clock()) - timedelta(seconds=older_than)
        old = [r for r in self.tables.runs.values() if r.status.ended and r.updated_at < bound]
        for run in old[:limit]:
            self.tables.drop_run(run.run_id)
        return len(old[:limit])

    def _past_ttl(self, strategy: str, now: datetime) -> list[str]:
        return [
            row.thread.thread_id
            for row in self.tables.threads.values()
            if row.thread.ttl_strategy == strategy and _is_past_ttl(row, now)
        ]

    def _has_history(self, thread_id: str) -> bool:
        checkpoints = self.tables.shelf(thread_id).checkpoints
        return sum(ns == ROOT for ns, _ in checkpoints) > 1


def _quiet_from(row: ThreadRow) -> datetime:
    """When it last moved or was rung, or, in the future, when its lease ends or it is due."""
    times = (row.thread.updated_at, row.rung_at, row.wake_at, row.lease_until)
    return max(time for time in times if time)


def _is_past_ttl(row: ThreadRow, now: datetime) -> bool:
    thread = row.thread
    if thread.ttl_minutes is None or thread.active_run_id is not None:
        return False
    return thread.updated_at + timedelta(minutes=thread.ttl_minutes) < now
