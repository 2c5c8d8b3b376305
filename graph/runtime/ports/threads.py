"""The port of threads."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from graph.runtime.models import NO_ROWS, Json, Rows, Stored, Thread, ThreadQuery


class ThreadStore(Protocol):
    """Threads, for clients; an owner never sees another's."""

    async def create_thread(
        self, thread: Thread, *, rows: Rows = NO_ROWS, if_exists: str = "raise"
    ) -> Thread:
        """Make it with the state that its head names, whose rows these are.

        Raises Conflict when it exists and `if_exists` is not "do_nothing".
        """
        ...

    async def copy_thread(self, thread_id: str, owner: str, target: str) -> Thread:
        """A thread with the same metadata, state and history, and no runs.

        Raises NotFound, and Conflict when the target exists.
        """
        ...

    async def get_thread(self, thread_id: str, owner: str) -> Thread:
        """Raises NotFound."""
        ...

    async def heads(self, thread_ids: Sequence[str], owner: str) -> Mapping[str, Stored]:
        """The newest checkpoints of those of the threads that have one."""
        ...

    async def search_threads(self, owner: str, query: ThreadQuery) -> tuple[list[Thread], int]:
        """One page and the number of all matches."""
        ...

    async def update_thread(
        self,
        thread_id: str,
        owner: str,
        *,
        metadata: Json | None = None,
        ttl: tuple[float, str] | None = None,
    ) -> Thread:
        """Merge metadata, set (minutes, strategy); raises NotFound."""
        ...

    async def delete_thread(self, thread_id: str, owner: str) -> None:
        """Drop the thread and all it owns; a step in flight loses its claim. Raises NotFound."""
        ...

    async def delete_threads(self, thread_ids: Sequence[str], owner: str) -> int:
        """As `delete_thread` those that there are; how many."""
        ...

    async def idle_threads(self, thread_ids: Sequence[str], owner: str) -> list[str]:
        """Those of the threads on which no run is active and no edit under way."""
        ...
