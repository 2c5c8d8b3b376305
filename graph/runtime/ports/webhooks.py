"""The ports of webhooks: what is owed, and the way out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from graph.runtime.models import Delivery, Webhook


class WebhookStore(Protocol):
    """Deliveries; a row is written with whatever ends a run that asked for one."""

    async def take_webhook(
        self, run_id: str, *, lease: float, now: datetime | None = None
    ) -> Delivery | None:
        """The delivery if it is due; then it is nobody else's for `lease` seconds."""
        ...

    async def settle_webhook(
        self, webhook: Webhook, *, error: str | None = None, again_in: float | None = None
    ) -> bool:
        """Note how an attempt went: delivered, to be tried again in seconds, or given up.

        False when a later attempt was taken meanwhile: then nothing is noted.
        """
        ...

    async def get_webhook(self, run_id: str, thread_id: str, owner: str) -> Webhook:
        """How it stands; raises NotFound when the run owes none (yet)."""
        ...

    async def overdue_webhooks(
        self, *, grace: float, limit: int, now: datetime | None = None
    ) -> list[tuple[str, str]]:
        """(run_id, owner) of deliveries that have been due for `grace` seconds."""
        ...


class Post(Protocol):
    """The way out of a webhook."""

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Raises Refused (never try again), or Undelivered."""
        ...
