"""The centre: one message, one step."""

import logging
import time
from dataclasses import dataclass, replace
from functools import partial

from graph.budgets import Account, within
from graph.ceilings import budget_of
from graph.errors import BadInput, BadProject, LostClaim
from graph.runtime.checkpoints import strict_serializer
from graph.runtime.engine import Runtime
from graph.runtime.given import steps_taken
from graph.runtime.models import (
    Advanced,
    Claim,
    Ending,
    Json,
    Refusal,
    Run,
    StepJob,
    StepResult,
    Verdict,
)
from graph.runtime.step_saver import StepSaver
from graph.runtime.superstep import Clock, Meanwhile, run_superstep
from graph.usage import noted, noting

log = logging.getLogger("baton.step")

MARGIN = 0.1  # share of an invocation's time kept for saving, at most MAX_MARGIN seconds
MAX_MARGIN = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """How one step went, and what is to be rung for."""

    outcome: str
    advanced: Advanced
    owner: str


async def step(job: StepJob, rt: Runtime, *, time_left: float) -> str:
    """Take the step a message points at, or do nothing if it is not this message's to take.

    Takes the thread's next steps as well, if `rt` says so, each saved and fenced on its own.
    `time_left` is what remains of the invocation in seconds: no lease lasts longer. Returns how
    it went, for the log. Raises Unavailable when the message must come again.
    """
    started = time.monotonic()
    deadline = started + time_left
    await rt.cut("before claim")
    claim = await rt.store.claim(job, lease=time_left)
    if isinstance(claim, Refusal):
        await pass_over(job, claim, rt)
        return str(claim.verdict)
    taken = await one_step(claim, rt, deadline=deadline)
    for _ in range(rt.steps_per_invocation - 1):
        following, delay = taken.advanced.next_job, taken.advanced.delay
        if following is None or delay or time.monotonic() - started > rt.inline_seconds:
            break
        claim = await rt.store.claim(following, lease=deadline - time.monotonic())
        if isinstance(claim, Refusal):  # somebody else has it, and passes on
            return taken.outcome
        taken = await one_step(claim, rt, deadline=deadline)
    if following := taken.advanced.next_job:
        await rt.queue.send(following, owner=taken.owner, delay=taken.advanced.delay)
    await rt.cut("after send")
    return taken.outcome


async def one_step(claim: Claim, rt: Runtime, *, deadline: float) -> Taken:
    """Run the claimed step and save it, unless the claim was lost on the way."""
    started = time.monotonic()
    await rt.cut("after claim")
    try:
        with noting() as spent:
            result = await take(claim, rt, deadline=deadline)
        advanced = await rt.store.advance(claim, replace(result, spent=tuple(spent)))
    except LostClaim:
        log.warning("lost the claim, wrote nothing", extra=_facts(claim, rt, "lost"))
        if spent:
            await rt.store.charge(claim, spent)
        return Taken("lost", Advanced(None), claim.owner)
    await rt.cut("after save")
    took = {"tasks": list(result.tasks), "ms": round((time.monotonic() - started) * 1000, 1)}
    log.info("step", extra=_facts(claim, rt, result.ending) | took)
    return Taken(str(result.ending), advanced, claim.owner)


async def pass_over(job: StepJob, refusal: Refusal, rt: Runtime) -> None:
    """Deal with a message that got no claim; the row has decided, the message only rang.

    A redelivered message that finds the thread ahead, by no more than one invocation takes it, may
    be all that is left of a sender that died before it passed on: it rings again, once the lease
    is over that this sender may have taken last.
    """
    verdict, delay = refusal.verdict, None
    again = StepJob(job.thread_id, job.seq, redelivered=True)
    if verdict is Verdict.DUPLICATE and job.redelivered and refusal.active:
        ahead = refusal.seq - job.seq
        if 1 <= ahead <= rt.steps_per_invocation and not refusal.leased_for:
            again, delay = StepJob(job.thread_id, refusal.seq), refusal.due_in
        elif 1 <= ahead <= rt.steps_per_invocation > 1:
            delay = refusal.leased_for
    elif verdict in (Verdict.BUSY, Verdict.EARLY):
        delay = max(refusal.leased_for, 1.0)
    elif verdict is Verdict.ASLEEP:
        delay = refusal.due_in
    if delay is not None:
        await rt.queue.send(again, owner=refusal.owner, delay=delay)
    log.info("passed over", extra={"thread_id": job.thread_id, "seq": job.seq, "verdict": verdict})


async def take(claim: Claim, rt: Runtime, *, deadline: float) -> StepResult:
    """Run the claimed superstep; whatever is wrong with the run itself ends it as an error."""
    run = claim.run
    assert run is not None, "a step is claimed for a run"
    if claim.attempts > rt.max_attempts:
        return failed(
            "AttemptsExhausted",
            f"step {claim.seq} was tried {claim.attempts - 1} times and every invocation died",
        )

    try:
        graph = await rt.graphs.load(run.graph_id, run.kwargs.get("config") or {})
        steps = steps_taken(graph, claim, run)
        account = Account(budget_of(run.kwargs), run.spent, claim.spent, steps, noted())
    except (BadProject, BadInput) as error:
        return failed(type(error).__name__, str(error))
    saver = StepSaver(rt.store, claim, serde=strict_serializer(rt.allowed_types))

    async def keep() -> None:
        rows = saver.finished_rows()
        await rt.store.save(claim, rows, input_applied=bool(rows.checkpoints))
        await rt.cut("after keep")

    margin = min(MARGIN * (deadline - time.monotonic()), MAX_MARGIN)
    with within(account):
        result = await run_superstep(
            graph,
            claim,
            _marked(run, claim, rt),
            saver,
            clock=Clock(drain_at=deadline - 2 * margin, cancel_at=deadline - margin),
            meanwhile=Meanwhile(keep, partial(rt.store.tell, claim)),
        )
    await rt.cut("after the node's effect")
    if result.ending is Ending.TIMEOUT and claim.attempts < rt.max_attempts:
        return replace(result, ending=Ending.AGAIN, error=None, events=None)
    return result


def failed(error: str, message: str) -> StepResult:
    return StepResult(Ending.FAILED, error={"error": error, "message": message})


def _marked(run: Run, claim: Claim, rt: Runtime) -> Run:
    """The run with what its checkpoints' metadata tells about who made them."""
    marks: Json = {"fence": claim.fence, "invocation": rt.invocation}
    return replace(run, metadata={**run.metadata, **marks})


def _facts(claim: Claim, rt: Runtime, outcome: str) -> Json:
    return {
        "thread_id": claim.thread_id,
        "run_id": claim.run.run_id if claim.run else None,
        "seq": claim.seq,
        "fence": claim.fence,
        "outcome": str(outcome),
        "invocation": rt.invocation,
    }
