"""Counts on memory."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal

from graph.adapters.memory.tables import MemoryTables
from graph.runtime.models import Census, ThreadStatus


class MemoryCensus(MemoryTables):
    """`CensusStore` on memory; it does not know when its model calls were."""

    async def census(self, *, now: datetime | None = None) -> Census:
        now = now or self.clock()
        rows = list(self.tables.threads.values())
        active = [row for row in rows if row.thread.active_run_id]
        sleeping = [row for row in active if row.wake_at and row.wake_at > now]
        under_way = [row for row in active if row.leased(now)]
        due = [row for row in active if row not in sleeping and row not in under_way]
        waits = [now - (row.wake_at or row.thread.updated_at) for row in due]
        runs = list(self.tables.runs.values())
        ended = [r for r in runs if r.status.ended and r.updated_at > now - timedelta(hours=1)]
        spent = [call.spent for call in self.tables.calls]
        return Census(
            due_steps=len(due),
            oldest_due=max(waits, default=timedelta()).total_seconds(),
            steps_under_way=len(under_way),
            sleeping=len(sleeping),
            waiting=sum(row.thread.status is ThreadStatus.INTERRUPTED for row in rows),
            unfinished=Counter(str(run.status) for run in runs if not run.status.ended),
            ended=Counter(str(run.status) for run in ended),
            model_calls=len(spent),
            tokens=sum(call.input_tokens + call.output_tokens for call in spent),
            usd=sum((call.usd or Decimal(0) for call in spent), Decimal(0)),
        )
