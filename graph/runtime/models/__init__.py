"""The engine's nouns: threads, runs, claims and what a step leaves behind."""

from graph.runtime.models.assistants import (
    Assistant,
    AssistantChange,
    AssistantQuery,
    AssistantSort,
)
from graph.runtime.models.census import Census
from graph.runtime.models.crons import Cron, CronQuery, CronSort, Firing
from graph.runtime.models.events import SKIPPED, Event
from graph.runtime.models.graphs import Upkeep
from graph.runtime.models.jobs import StepJob
from graph.runtime.models.json import Json
from graph.runtime.models.keys import ApiKey
from graph.runtime.models.notices import Notice, Topic
from graph.runtime.models.rows import (
    NO_ROWS,
    BlobRow,
    CheckpointRow,
    ItemRow,
    Rows,
    Span,
    Stored,
    WriteRow,
)
from graph.runtime.models.runs import Created, NewRun, Run, RunStatus
from graph.runtime.models.sockets import (
    LONGEST_CONNECTION,
    MOST_SUBSCRIPTIONS,
    NEVER,
    Connected,
    News,
    RunEnd,
    Subscription,
    Wish,
)
from graph.runtime.models.steps import Advanced, Claim, Ending, Refusal, StepResult, Verdict
from graph.runtime.models.sweep import Backlog, Thinned
from graph.runtime.models.threads import Thread, ThreadQuery, ThreadSort, ThreadStatus
from graph.runtime.models.webhooks import Delivery, Webhook, WebhookStatus

__all__ = [
    "LONGEST_CONNECTION",
    "MOST_SUBSCRIPTIONS",
    "NEVER",
    "NO_ROWS",
    "SKIPPED",
    "Advanced",
    "ApiKey",
    "Assistant",
    "AssistantChange",
    "AssistantQuery",
    "AssistantSort",
    "Backlog",
    "BlobRow",
    "Census",
    "CheckpointRow",
    "Claim",
    "Connected",
    "Created",
    "Cron",
    "CronQuery",
    "CronSort",
    "Delivery",
    "Ending",
    "Event",
    "Firing",
    "ItemRow",
    "Json",
    "NewRun",
    "News",
    "Notice",
    "Refusal",
    "Rows",
    "Run",
    "RunEnd",
    "RunStatus",
    "Span",
    "StepJob",
    "StepResult",
    "Stored",
    "Subscription",
    "Thinned",
    "Thread",
    "ThreadQuery",
    "ThreadSort",
    "ThreadStatus",
    "Topic",
    "Upkeep",
    "Verdict",
    "Webhook",
    "WebhookStatus",
    "Wish",
    "WriteRow",
]
