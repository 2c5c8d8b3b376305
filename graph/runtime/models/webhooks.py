"""What is owed to a webhook."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from graph.runtime.models.runs import Run


class WebhookStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Webhook:
    """The one delivery that the end of a run owes, and how it stands."""

    run_id: str
    url: str
    status: WebhookStatus
    attempts: int  # begun so far
    due: datetime
    error: str | None = None  # of the last attempt
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt that was taken, to be made by nobody else for a while."""

    webhook: Webhook
    run: Run
