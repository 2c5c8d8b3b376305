"""The port of checkpoints."""

from collections.abc import Sequence
from typing import Protocol

from graph.runtime.models import Json, Rows, Stored


class CheckpointStore(Protocol):
    """Checkpoint rows by thread, with no claim: for readers, and for tools that own the thread."""

    async def load(self, thread_id: str, ns: str, checkpoint_id: str | None) -> Stored | None:
        """One checkpoint, the newest of the namespace when no id is given."""
        ...

    async def history(
        self,
        thread_id: str | None,
        ns: str | None,
        *,
        before: str | None = None,
        metadata: Json | None = None,
        limit: int | None = None,
    ) -> list[tuple[str, Stored]]:
        """(thread_id, checkpoint) pairs, newest first."""
        ...

    async def put(self, thread_id: str, rows: Rows) -> None:
        """Store rows unfenced; the thread's row is made when it is missing."""
        ...

    async def delete_checkpoints(
        self, *, thread_id: str | None = None, run_ids: Sequence[str] = ()
    ) -> None:
        """Drop a thread's checkpoints, or those the runs made."""
        ...

    async def copy_checkpoints(self, source: str, target: str) -> None: ...

    async def keep_latest(self, thread_ids: Sequence[str]) -> None:
        """Drop all but each namespace's newest checkpoint and what it needs."""
        ...
