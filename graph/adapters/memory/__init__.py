"""The memory double of store and queue: the same contracts as Postgres and SQS, for tests."""

from graph.adapters.memory.queue import MemoryQueue
from graph.adapters.memory.store import MemoryStore

__all__ = ["MemoryQueue", "MemoryStore"]
