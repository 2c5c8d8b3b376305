"""The port of runs."""

from collections.abc import Sequence
from typing import Protocol

from graph.runtime.models import Advanced, Created, NewRun, Run, RunStatus


class RunStore(Protocol):
    """Runs, for clients; an owner never sees another's."""

    async def create_run(self, new: NewRun) -> Created:
        """Accept a run: active at once on an idle thread, queued behind another on a busy one.

        Raises NotFound without the thread; Conflict on a busy thread with `reject`, on a resume
        of a thread that waits for nothing, or when the Idempotency-Key came with another body.
        """
        ...

    async def get_run(self, run_id: str, thread_id: str, owner: str) -> Run:
        """Raises NotFound."""
        ...

    async def runs_by_id(self, run_ids: Sequence[str]) -> list[Run]:
        """Those of the runs that exist, whoever owns them: for `follow`, after get_run."""
        ...

    async def list_runs(
        self, thread_id: str, owner: str, *, status: RunStatus | None, limit: int, offset: int
    ) -> list[Run]:
        """Newest first; raises NotFound without the thread."""
        ...

    async def cancel_run(self, run_id: str, thread_id: str, owner: str) -> Advanced:
        """End a pending or running run as `interrupted`; a step in flight loses its claim.

        Returns what to ring for the next queued run. Raises NotFound, Conflict when it has ended.
        """
        ...

    async def delete_run(self, run_id: str, thread_id: str, owner: str) -> None:
        """Raises NotFound, Conflict while it is pending or running."""
        ...
