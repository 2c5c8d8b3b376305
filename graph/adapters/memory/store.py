"""The memory store, put together from its parts."""

from graph.adapters.memory.checkpoints import MemoryCheckpoints
from graph.adapters.memory.events import MemoryEvents
from graph.adapters.memory.runs import MemoryRuns
from graph.adapters.memory.steps import MemorySteps
from graph.adapters.memory.sweep import MemorySweep
from graph.adapters.memory.threads import MemoryThreads


class MemoryStore(
    MemoryEvents, MemorySteps, MemoryCheckpoints, MemoryThreads, MemoryRuns, MemorySweep
):
    """A `Store` in one process: no method awaits inside, so each is atomic."""
