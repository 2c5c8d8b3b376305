"""What the engine needs from the outside; each has an adapter and a memory double."""

from typing import Protocol

from graph.runtime.ports.checkpoints import CheckpointStore
from graph.runtime.ports.events import EventStore
from graph.runtime.ports.graphs import Graphs
from graph.runtime.ports.queue import Queue
from graph.runtime.ports.runs import RunStore
from graph.runtime.ports.steps import StepStore
from graph.runtime.ports.sweep import SweepStore
from graph.runtime.ports.threads import ThreadStore

__all__ = [
    "CheckpointStore",
    "EventStore",
    "Graphs",
    "Queue",
    "RunStore",
    "StepStore",
    "Store",
    "SweepStore",
    "ThreadStore",
]


class Store(StepStore, EventStore, CheckpointStore, ThreadStore, RunStore, SweepStore, Protocol):
    """All of it, as Postgres and the memory double offer it."""
