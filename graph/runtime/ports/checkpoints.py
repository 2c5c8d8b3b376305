"""The port of checkpoints."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from graph.runtime.models import Json, Rows, Stored, Thinned


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

    async def copy_checkpoints(self, source: str, target: str) -> None:
        """Copy a thread's checkpoints to one that has none; raises Conflict if it has."""
        ...

    async def thin(
        self,
        keeps: Mapping[str, str],
        *,
        limit: int,
        recent: float = 0.0,
        now: datetime | None = None,
    ) -> Thinned:
        """Drop `limit` checkpoints at most that these threads do not keep.

        They keep "run", the last of each run, or so many of the newest; with them the checkpoints
        that runs name to start from, those that edits were made to, the ends of runs that ended in
        the last `recent` seconds, and what all these need: nested graphs' states, and the
        ancestors of a DeltaChannel. "latest" keeps the newest and what it needs. Threads that a
        run or an edit is at are left alone.
        """
        ...
