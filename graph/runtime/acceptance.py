"""Why a run is not accepted: both stores decide it in one move, and say it in these words."""

from dataclasses import dataclass

from graph.errors import Conflict, Moved, NotFound, TooMany, UserError
from graph.runtime.models import Json, NewRun, Run, ThreadStatus


@dataclass(frozen=True, slots=True)
class Standing:
    """How the run would find its thread, what it displaces being gone."""

    busy_with: str | None  # a run that stays in front of it
    status: ThreadStatus
    head: str | None
    interrupts: Json
    has_checkpoint: bool  # the one that the run starts from, if it names one


def refusal(new: NewRun, found: Standing) -> UserError | None:
    """The reason, None if there is none."""
    if found.busy_with and new.multitask_strategy == "reject":
        return Conflict(
            f"thread {new.thread_id} is busy with run {found.busy_with}: wait for it, cancel it, "
            "or use another multitask_strategy"
        )
    if new.if_match is not None and found.busy_with:
        return Moved(
            f"If-Match: run {found.busy_with} comes first and moves thread {new.thread_id} on"
        )
    if new.if_match not in (None, found.head):
        return Moved(f"If-Match: thread {new.thread_id} is at checkpoint {found.head}")
    return unmet(new, found)


def unmet(run: NewRun | Run, found: Standing) -> UserError | None:
    """What the run needs and does not find; asked again when its turn has come."""
    checkpoint_id = run.kwargs.get("checkpoint_id")
    if checkpoint_id and not found.has_checkpoint:
        return NotFound(f"checkpoint {checkpoint_id} does not exist on thread {run.thread_id}")
    if run.resumes and found.status not in (ThreadStatus.INTERRUPTED, ThreadStatus.BUSY):
        return Conflict(
            f"thread {run.thread_id} waits for no answer: there is nothing to resume, start a run "
            "with input"
        )
    if run.strict and not found.busy_with:
        return _unasked(run, found.interrupts)
    return None


def too_many(new: NewRun) -> TooMany:
    """The reason when the owner's quota is used up."""
    return TooMany(
        f"at most {new.most_unfinished} runs may be pending or running: wait for one to end, or "
        "cancel one"
    )


def _unasked(run: NewRun | Run, interrupts: Json) -> Conflict | None:
    asked = {question["id"] for questions in interrupts.values() for question in questions}
    waits = f"thread {run.thread_id} waits for {', '.join(sorted(asked)) or 'no answer'}"
    if run.answers is None:
        if len(asked) <= 1:
            return None
        return Conflict(f"strict_resume: {waits}: say which of them is answered")
    unasked = [answer for answer in run.answers if answer not in asked]
    return Conflict(f"strict_resume: {unasked[0]} is not asked: {waits}") if unasked else None
