"""Webhooks on memory; `Tables.update_run` notes what is owed."""

from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta

from graph.adapters.memory.tables import MemoryTables
from graph.errors import NotFound
from graph.runtime.models import Delivery, Webhook, WebhookStatus


class MemoryWebhooks(MemoryTables):
    """`WebhookStore` on memory."""

    async def take_webhook(
        self, run_id: str, *, lease: float, now: datetime | None = None
    ) -> Delivery | None:
        now = now or self.clock()
        webhook = self.tables.webhooks.get(run_id)
        if webhook is None or webhook.status is not WebhookStatus.PENDING or webhook.due > now:
            return None
        taken = replace(
            webhook,
            attempts=webhook.attempts + 1,
            due=now + timedelta(seconds=lease),
            updated_at=now,
        )
        self.tables.webhooks[run_id] = taken
        return Delivery(taken, deepcopy(self.tables.runs[run_id]))

    async def settle_webhook(
        self, webhook: Webhook, *, error: str | None = None, again_in: float | None = None
    ) -> bool:
        now, held = self.clock(), self.tables.webhooks.get(webhook.run_id)
        stands = (webhook.attempts, WebhookStatus.PENDING)
        if held is None or (held.attempts, held.status) != stands:
            return False
        status = WebhookStatus.DELIVERED if error is None else WebhookStatus.FAILED
        self.tables.webhooks[webhook.run_id] = replace(
            held,
            status=status if again_in is None else WebhookStatus.PENDING,
            error=error,
            due=now + timedelta(seconds=again_in or 0.0),
            updated_at=now,
        )
        return True

    async def get_webhook(self, run_id: str, thread_id: str, owner: str) -> Webhook:
        run, webhook = self.tables.runs.get(run_id), self.tables.webhooks.get(run_id)
        if not run or not webhook or (run.thread_id, run.owner) != (thread_id, owner):
            raise NotFound(f"run {run_id} owes no webhook: it asked for none, or has not ended")
        return webhook

    async def overdue_webhooks(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[str, str]]:
        bound = (now or self.clock()) - timedelta(seconds=grace)
        late = [
            webhook
            for webhook in self.tables.webhooks.values()
            if webhook.status is WebhookStatus.PENDING and webhook.due < bound
        ]
        late = sorted(late, key=lambda webhook: webhook.due)[:limit]
        return [(w.run_id, self.tables.runs[w.run_id].owner) for w in late]
