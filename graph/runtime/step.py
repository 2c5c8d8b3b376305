"""The centre: one message, one step."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from graph.errors import Unavailable
from graph.runtime.claims import claimed
from graph.runtime.codec import Known
from graph.runtime.engine import Runtime
from graph.runtime.leg import ringing_for, steps
from graph.runtime.models import Claim, Refusal, StepJob, Verdict

log = logging.getLogger("baton.step")


async def step(job: StepJob, rt: Runtime, *, time_left: float) -> str:
    """Take the step a message points at, or do nothing if it is not this message's to take.

    Takes the thread's next steps as well, if `rt` says so, each saved and fenced on its own.
    `time_left` is what remains of the invocation in seconds: no lease lasts longer. Returns how
    it went, for the log. Raises Unavailable when the message must come again.
    """
    (ended,) = await step_all([job], rt, time_left=time_left)
    if isinstance(ended, BaseException):
        raise ended
    return ended


async def step_all(
    jobs: Sequence[StepJob], rt: Runtime, *, time_left: float
) -> list[str | BaseException]:
    """Take the steps of several messages at once: one claim, then each for itself.

    Returns how each went, or what it raised.
    """
    deadline = time.monotonic() + time_left
    await rt.cut("before claim")
    try:
        claims = await claimed(jobs, rt, lease=time_left)
    except Unavailable as error:
        return [error for _ in jobs]
    legs = (
        _leg(job, claim, known, rt, deadline)
        for job, (claim, known) in zip(jobs, claims, strict=True)
    )
    return await asyncio.gather(*legs, return_exceptions=True)


async def _leg(
    job: StepJob, claim: Claim | Refusal, known: Known, rt: Runtime, deadline: float
) -> str:
    """What one message comes to: its steps, and the message for those that follow."""
    if isinstance(claim, Refusal):
        await pass_over(job, claim, rt)
        return str(claim.verdict)
    begun_until = min(time.monotonic() + rt.inline_seconds, deadline)

    def pace(taken: int) -> float | None:
        now = time.monotonic()
        goes_on = taken < rt.steps_per_invocation and now <= begun_until
        return deadline - now if goes_on else None

    ringing = []
    async with aclosing(steps(claim, known, rt, deadline=deadline, pace=pace)) as taking:
        async for taken in taking:
            ringing.append(ringing_for(rt, taken))
    if following := taken.advanced.next_job:
        await rt.queue.send(following, owner=taken.owner, delay=taken.advanced.delay)
    await asyncio.gather(*ringing)
    await rt.cut("after send")
    return taken.outcome


async def pass_over(job: StepJob, refusal: Refusal, rt: Runtime) -> None:
    """Deal with a message that got no claim; the row has decided, the message only rang.

    A redelivered message that finds the thread ahead, by no more than one invocation takes it, may
    be all that is left of a sender that died before it passed on: it rings again, once the lease
    is over that this sender may have taken last. A guard goes where its run is.
    """
    verdict, delay = refusal.verdict, None
    again = replace(job, redelivered=True)
    if verdict is Verdict.DUPLICATE and refusal.active and job.guards:
        if not refusal.leased_for or await _goes_on(job.guards, rt):
            again, delay = replace(again, seq=refusal.seq), refusal.leased_for or refusal.due_in
    elif verdict is Verdict.DUPLICATE and refusal.active and job.redelivered:
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


async def _goes_on(run_id: str, rt: Runtime) -> bool:
    """Whether a run has not ended; steps of another one have messages of their own."""
    return any(not run.status.ended for run in await rt.store.runs_by_id([run_id]))
