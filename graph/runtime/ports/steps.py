"""The port of steps."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from graph.runtime.models import Advanced, Claim, Refusal, Rows, StepJob, StepResult
from graph.usage import Spent


class StepStore(Protocol):
    """The step protocol. Each call is one statement; leases are judged by the store's clock."""

    async def claim(
        self,
        jobs: Sequence[tuple[StepJob, str | None]],
        *,
        lease: float,
        now: datetime | None = None,
    ) -> list[Claim | Refusal]:
        """Take the steps' leases and load what each starts from, or say why not; in their order.

        Of a checkpoint that the caller names, since it has it, neither body nor values are given.
        """
        ...

    async def hold(self, thread_id: str, owner: str, *, lease: float) -> Claim:
        """Take the lease of a thread no run is active on, to edit its state; that is not read.

        Raises NotFound, or Conflict while a run is active or another edit holds it.
        """
        ...

    async def release(self, claim: Claim) -> Advanced:
        """End a hold that changed nothing; one that was lost is left alone.

        Returns what to ring for a run that was accepted meanwhile.
        """
        ...

    async def save(self, claim: Claim, rows: Rows, *, input_applied: bool) -> None:
        """Keep what finished tasks did while their siblings run on; raises LostClaim."""
        ...

    async def advance(
        self, claim: Claim, result: StepResult, *, lease: float | None = None
    ) -> Advanced:
        """Save a step, release the lease and move the thread on; raises LostClaim.

        If the run ended, the thread's next queued run becomes active. If it has more to do and a
        `lease` is asked for, the next step is claimed with the save, unless the store is stopped.
        """
        ...

    async def charge(self, claim: Claim, spent: Sequence[Spent]) -> None:
        """Record what a claim that was lost has spent: no fence refuses it. Safe to repeat."""
        ...
