"""What the engine needs from the outside; each has an adapter and a memory double."""

from typing import Protocol

from graph.calls import CallStore
from graph.runtime.ports.assistants import AssistantStore
from graph.runtime.ports.census import CensusStore
from graph.runtime.ports.checkpoints import CheckpointStore
from graph.runtime.ports.crons import CronStore
from graph.runtime.ports.events import EventStore
from graph.runtime.ports.graphs import Graphs
from graph.runtime.ports.keys import KeyStore
from graph.runtime.ports.long_term import LongTerm
from graph.runtime.ports.notices import Notices
from graph.runtime.ports.queue import Queue
from graph.runtime.ports.quotas import QuotaStore
from graph.runtime.ports.runs import RunStore
from graph.runtime.ports.sockets import Gateway, SocketStore
from graph.runtime.ports.steps import StepStore
from graph.runtime.ports.sweep import SweepStore
from graph.runtime.ports.threads import ThreadStore
from graph.runtime.ports.webhooks import Post, WebhookStore

__all__ = [
    "AssistantStore",
    "CensusStore",
    "CheckpointStore",
    "CronStore",
    "EventStore",
    "Gateway",
    "Graphs",
    "KeyStore",
    "LongTerm",
    "Notices",
    "Post",
    "Queue",
    "QuotaStore",
    "RunStore",
    "SocketStore",
    "StepStore",
    "Store",
    "SweepStore",
    "ThreadStore",
    "WebhookStore",
]


class Store(
    StepStore,
    EventStore,
    CheckpointStore,
    ThreadStore,
    RunStore,
    CronStore,
    SweepStore,
    AssistantStore,
    WebhookStore,
    SocketStore,
    KeyStore,
    QuotaStore,
    CallStore,
    CensusStore,
    Protocol,
):
    """All of it, as Postgres and the memory double offer it."""
