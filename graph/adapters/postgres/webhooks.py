"""The webhooks' statements."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import run
from graph.errors import NotFound
from graph.runtime.models import Delivery, Webhook, WebhookStatus


class Webhooks:
    """`WebhookStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def take_webhook(
        self, run_id: str, *, lease: float, now: datetime | None = None
    ) -> Delivery | None:
        params = {"run_id": run_id, "lease": lease, "now": now}
        row = await self.db.one("take_webhook", params)
        return Delivery(_webhook(row), run(row)) if row else None

    async def settle_webhook(
        self, webhook: Webhook, *, error: str | None = None, again_in: float | None = None
    ) -> bool:
        status = WebhookStatus.DELIVERED if error is None else WebhookStatus.FAILED
        params = {
            "run_id": webhook.run_id,
            "attempts": webhook.attempts,
            "status": status if again_in is None else WebhookStatus.PENDING,
            "w_error": error,
            "again_in": again_in or 0.0,
        }
        return await self.db.one("settle_webhook", params) is not None

    async def get_webhook(self, run_id: str, thread_id: str, owner: str) -> Webhook:
        params = {"run_id": run_id, "thread_id": thread_id, "owner": owner}
        row = await self.db.one("get_webhook", params)
        if row is None:
            raise NotFound(f"run {run_id} owes no webhook: it asked for none, or has not ended")
        return _webhook(row)

    async def overdue_webhooks(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[str, str]]:
        params = {"grace": grace, "limit": limit, "now": now}
        rows = await self.db.all("overdue_webhooks", params)
        return [(row["run_id"], row["owner"]) for row in rows]


def _webhook(row: Mapping[str, Any]) -> Webhook:
    return Webhook(
        run_id=row["run_id"],
        url=row["url"],
        status=WebhookStatus(row["w_status"]),
        attempts=row["attempts"],
        due=row["due"],
        error=row["w_error"],
        updated_at=row["w_updated"],
    )
