"""The port of threads."""

from typing import Protocol

from graph.runtime.models import Json, Thread, ThreadQuery


class ThreadStore(Protocol):
    """Threads, for clients; an owner never sees another's."""

    async def create_thread(self, thread: Thread, *, if_exists: str = "raise") -> Thread:
        """Raises Conflict when it exists and `if_exists` is not "do_nothing"."""
        ...

    async def get_thread(self, thread_id: str, owner: str) -> Thread:
        """Raises NotFound."""
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
