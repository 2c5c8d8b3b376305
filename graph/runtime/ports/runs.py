"""The port of runs."""

from collections.abc import Sequence
from typing import Protocol

from graph.runtime.models import Advanced, Created, NewRun, Run, RunStatus


class RunStore(Protocol):
    """Runs, for clients; an owner never sees another's."""

    async def create_run(self, new: NewRun) -> Created:
        """Accept a run: active at once on an idle thread.

        On a busy thread its strategy decides: `enqueue` queues it behind the others, `interrupt`
        ends them where they are, `rollback` undoes them, and it is active in their place.

        Raises NotFound without the thread or the checkpoint; Conflict on a busy thread with
        `reject`, on a resume of a thread that waits for nothing or, if strict, for something else,
        or when the Idempotency-Key came with another body; Moved when the thread's state is not,
        or will not be, at `if_match`; TooMany when the owner has `most_unfinished` without it, also
        for two at once.
        """
        ...

    async def create_alone(self, new: Sequence[NewRun]) -> list[Created]:
        """Accept runs of one owner, each on a thread that is made for it: all of them or none.

        The thread gets `thread_ttl`, which begins with the run's end. Raises Conflict when an
        Idempotency-Key came with another body, TooMany as `create_run`.
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

    async def unfinished_runs(
        self,
        owner: str,
        *,
        thread_id: str | None = None,
        run_ids: Sequence[str] | None = None,
        status: RunStatus | None = None,
        limit: int,
    ) -> list[tuple[str, str]]:
        """(run_id, thread_id) of those that are pending or running, newest first."""
        ...

    async def cancel_run(
        self, run_id: str, thread_id: str, owner: str, *, undo: bool = False
    ) -> Advanced:
        """End a pending or running run as `interrupted`; a step in flight loses its claim.

        `undo` deletes it with its checkpoints: the thread is as it was before the run began.
        Returns what to ring for the next queued run. Raises NotFound, Conflict when it has ended.
        """
        ...

    async def delete_run(self, run_id: str, thread_id: str, owner: str) -> None:
        """Raises NotFound, Conflict while it is pending or running."""
        ...
