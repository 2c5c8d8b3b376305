"""The memory store, put together from its parts."""

from graph.adapters.memory.assistants import MemoryAssistants
from graph.adapters.memory.calls import MemoryCalls
from graph.adapters.memory.census import MemoryCensus
from graph.adapters.memory.checkpoints import MemoryCheckpoints
from graph.adapters.memory.crons import MemoryCrons
from graph.adapters.memory.events import MemoryEvents
from graph.adapters.memory.keys import MemoryKeys
from graph.adapters.memory.runs import MemoryRuns
from graph.adapters.memory.sockets import MemorySockets
from graph.adapters.memory.steps import MemorySteps
from graph.adapters.memory.sweep import MemorySweep
from graph.adapters.memory.threads import MemoryThreads
from graph.adapters.memory.webhooks import MemoryWebhooks


class MemoryStore(
    MemoryEvents,
    MemorySteps,
    MemoryCheckpoints,
    MemoryCrons,
    MemoryThreads,
    MemoryRuns,
    MemoryAssistants,
    MemorySweep,
    MemoryWebhooks,
    MemorySockets,
    MemoryKeys,
    MemoryCalls,
    MemoryCensus,
):
    """A `Store` in one process: no method awaits inside, so each is atomic."""
