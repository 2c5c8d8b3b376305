"""Claims that are sent only what this process does not know: see `warm`.

What is kept of a thread is what was saved, nothing else. Whether it still stands there is said by
the claim, which is told what is here.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from graph.runtime.codec import Form, Forms, Known
from graph.runtime.engine import Runtime
from graph.runtime.lists import Grown, Log
from graph.runtime.models import CheckpointRow, Claim, Refusal, StepJob, StepResult

ROW_BYTES = 4000  # of a checkpoint beside its body and values, roughly
ITEM_BYTES = 1000  # of an item's objects beside its text


@dataclass(frozen=True, slots=True)
class Standing:
    """The root checkpoint that a thread stands at, and its values."""

    row: CheckpointRow
    forms: Forms
    grown: Grown  # of its lists, those that went on elsewhere

    @property
    def size(self) -> int:
        values = sum(_size(form) for _, form in self.forms.values())
        return ROW_BYTES + len(self.row.body) + values


def _size(form: Form) -> int:
    """As stored, and as objects."""
    if isinstance(form, Log):
        return 2 * form.size + ITEM_BYTES * form.count
    return len(form.data)


async def claimed(
    jobs: Sequence[StepJob], rt: Runtime, *, lease: float
) -> list[tuple[Claim | Refusal, Known]]:
    """The claims, made complete by what was kept of each thread, and what is known of it."""
    standings = [rt.warm.take(job.thread_id) for job in jobs]
    asked = [(job, one and one.row.checkpoint_id) for job, one in zip(jobs, standings, strict=True)]
    claims, _ = await asyncio.gather(
        rt.store.claim(asked, lease=lease), _looked_over(filter(None, standings))
    )
    return [
        _complete(claim, standing, job, rt)
        for claim, standing, job in zip(claims, standings, jobs, strict=True)
    ]


async def _looked_over(standings: Iterable[Standing]) -> None:
    """Whether lists are still what was saved: found out while the database is asked."""
    for standing in standings:
        for _, form in standing.forms.values():
            if isinstance(form, Log):
                form.look_over()


def _complete(
    claim: Claim | Refusal, standing: Standing | None, job: StepJob, rt: Runtime
) -> tuple[Claim | Refusal, Known]:
    known = Known()
    if standing is None:
        return claim, known
    place = (standing.row.ns, standing.row.checkpoint_id)
    if isinstance(claim, Refusal):
        rt.warm.keep(job.thread_id, standing)
    elif claim.stored and (claim.stored.row.ns, claim.stored.row.checkpoint_id) == place:
        claim = replace(claim, stored=replace(claim.stored, row=standing.row))
        known.forms[place] = standing.forms
        known.grown |= standing.grown
    return claim, known


def keep(claim: Claim, result: StepResult, known: Known, rt: Runtime) -> None:
    """Keep where the thread stands after a step that is saved."""
    for row in result.rows.checkpoints:
        if (row.ns, row.checkpoint_id) == ("", result.head):
            ends = {(name, stop) for spans in row.lists.values() for name, _, stop in spans}
            forms = known.forms["", row.checkpoint_id]
            rt.warm.keep(claim.thread_id, Standing(row, forms, ends & known.grown))
