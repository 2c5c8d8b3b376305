"""The centre: one message, one step."""

import logging
import time
from dataclasses import replace

from graph.errors import BadProject, LostClaim
from graph.runtime.checkpoints import strict_serializer
from graph.runtime.engine import Runtime
from graph.runtime.models import (
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
from graph.runtime.superstep import Clock, run_superstep

log = logging.getLogger("baton.step")

MARGIN = 0.1  # share of an invocation's time kept for saving, at most MAX_MARGIN seconds
MAX_MARGIN = 5.0


async def step(job: StepJob, rt: Runtime, *, time_left: float) -> str:
    """Take the step a message points at, or do nothing if it is not this message's to take.

    `time_left` is what remains of the invocation in seconds: the lease lasts no longer. Returns how
    it went, for the log. Raises Unavailable when the message must come again.
    """
    started = time.monotonic()
    await rt.cut("before claim")
    claim = await rt.store.claim(job, lease=time_left)
    if isinstance(claim, Refusal):
        await pass_over(job, claim, rt)
        return str(claim.verdict)
    await rt.cut("after claim")
    try:
        result = await take(claim, rt, deadline=started + time_left)
        advanced = await rt.store.advance(claim, result)
    except LostClaim:
        log.warning("lost the claim, wrote nothing", extra=_facts(claim, rt, "lost"))
        return "lost"
    await rt.cut("after save")
    if advanced.next_job:
        await rt.queue.send(advanced.next_job, owner=claim.owner, delay=advanced.delay)
    await rt.cut("after send")
    log.info(
        "step",
        extra=_facts(claim, rt, result.ending)
        | {"tasks": list(result.tasks), "ms": round((time.monotonic() - started) * 1000, 1)},
    )
    return str(result.ending)


async def pass_over(job: StepJob, refusal: Refusal, rt: Runtime) -> None:
    """Deal with a message that got no claim; the row has decided, the message only rang.

    A redelivered message that finds the thread exactly one step ahead, active and free, may be all
    that is left of a sender that died between save and send: it sends the continuation again.
    """
    verdict = refusal.verdict
    again = StepJob(job.thread_id, job.seq, redelivered=True)
    if verdict is Verdict.DUPLICATE:
        one_ahead = refusal.seq == job.seq + 1 and refusal.active and not refusal.leased_for
        if one_ahead and job.redelivered:
            await rt.queue.send(
                StepJob(job.thread_id, refusal.seq), owner=refusal.owner, delay=refusal.due_in
            )
    elif verdict in (Verdict.BUSY, Verdict.EARLY):
        await rt.queue.send(again, owner=refusal.owner, delay=max(refusal.leased_for, 1.0))
    elif verdict is Verdict.ASLEEP:
        await rt.queue.send(again, owner=refusal.owner, delay=refusal.due_in)
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
    except BadProject as error:
        return failed("BadProject", str(error))
    saver = StepSaver(rt.store, claim, serde=strict_serializer(rt.allowed_types))

    async def keep() -> None:
        rows = saver.finished_rows()
        await rt.store.save(claim, rows, input_applied=bool(rows.checkpoints))
        await rt.cut("after keep")

    margin = min(MARGIN * (deadline - time.monotonic()), MAX_MARGIN)
    result = await run_superstep(
        graph,
        claim,
        _marked(run, claim, rt),
        saver,
        clock=Clock(drain_at=deadline - 2 * margin, cancel_at=deadline - margin),
        keep=keep,
    )
    await rt.cut("after the node's effect")
    if result.ending is Ending.TIMEOUT and claim.attempts < rt.max_attempts:
        return replace(result, ending=Ending.AGAIN, error=None)
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
