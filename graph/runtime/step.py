"""The centre: one message, one step."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from graph.errors import BadInput, BadProject, LostClaim, NotFound, Outgrown, Unavailable
from graph.recording import recording
from graph.runtime.checkpoints import codec_for, strict_serializer
from graph.runtime.claims import claimed, claimed_all, keep
from graph.runtime.codec import Known
from graph.runtime.engine import Runtime
from graph.runtime.given import check_start, steps_taken
from graph.runtime.long_term import with_store
from graph.runtime.models import (
    Advanced,
    Claim,
    Ending,
    Event,
    Json,
    Notice,
    Refusal,
    Run,
    StepJob,
    StepResult,
    Topic,
    Verdict,
)
from graph.runtime.notices import after_step, ring_outside
from graph.runtime.recorder import wants_record, with_calls
from graph.runtime.renewal import Hooks, renewed
from graph.runtime.spending import Spending, spending_of
from graph.runtime.step_saver import StepSaver
from graph.runtime.superstep import Clock, Meanwhile, run_superstep
from graph.runtime.versions import VERSION
from graph.usage import Spent, noting, total

log = logging.getLogger("baton.step")

MARGIN = 0.1  # share of an invocation's time kept for saving, at most MAX_MARGIN seconds
MAX_MARGIN = 5.0


@dataclass(frozen=True, slots=True)
class Taken:
    """How one step went, and what is to be rung for."""

    outcome: str
    advanced: Advanced
    owner: str
    notices: tuple[Notice, ...] = ()  # for those outside


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
        claims = await claimed_all(jobs, rt, lease=time_left)
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
    started = time.monotonic()
    taken = await one_step(claim, known, rt, deadline=deadline)
    ringing = [ringing_for(rt, taken)]
    for _ in range(rt.steps_per_invocation - 1):
        following, delay = taken.advanced.next_job, taken.advanced.delay
        if following is None or delay or time.monotonic() - started > rt.inline_seconds:
            break
        claim, known = await claimed(following, rt, lease=deadline - time.monotonic())
        if isinstance(claim, Refusal):  # somebody else has it, and passes on
            taken = replace(taken, advanced=Advanced(None))
            break
        taken = await one_step(claim, known, rt, deadline=deadline)
        ringing.append(ringing_for(rt, taken))
    if following := taken.advanced.next_job:
        await rt.queue.send(following, owner=taken.owner, delay=taken.advanced.delay)
    await asyncio.gather(*ringing)
    await rt.cut("after send")
    return taken.outcome


def ringing_for(rt: Runtime, taken: Taken) -> "asyncio.Task[None]":
    """Those outside are rung for meanwhile: they never hold a thread back."""
    return asyncio.create_task(ring_outside(rt, taken.notices, owner=taken.owner))


async def one_step(claim: Claim, known: Known, rt: Runtime, *, deadline: float) -> Taken:
    """Run the claimed step and save it, unless the claim was lost on the way."""
    started = time.monotonic()
    await rt.cut("after claim")
    if rt.feed:
        rt.feed.begin(claim)
    try:
        with noting() as spent, recording(wants_record(claim.run)) as calls:
            result = await take(claim, known, rt, deadline=deadline)
        result = with_calls(result, claim, calls, strict_serializer(rt.allowed_types))
        advanced = await rt.store.advance(claim, replace(result, spent=tuple(spent)))
    except LostClaim:
        lost = _facts(claim, rt, "lost") | _cost(spent)
        log.warning("lost the claim, wrote nothing", extra=lost)
        if spent:
            await rt.store.charge(claim, spent)
        return Taken("lost", Advanced(None), claim.owner)
    keep(claim, result, known, rt)
    if rt.feed and result.events:
        rt.feed.show([event for event in result.events if not event.seq])
    await rt.cut("after save")
    took = {"tasks": list(result.tasks), "ms": round((time.monotonic() - started) * 1000, 1)}
    log.info("step", extra=_facts(claim, rt, result.ending) | took | _cost(spent))
    notices = after_step(claim, result, advanced)
    return Taken(str(result.ending), advanced, claim.owner, notices)


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


async def take(claim: Claim, known: Known, rt: Runtime, *, deadline: float) -> StepResult:
    """Run the claimed superstep; whatever is wrong with the run itself ends it as an error."""
    run = claim.run
    assert run is not None, "a step is claimed for a run"
    if claim.attempts > rt.max_attempts:
        return failed(
            "AttemptsExhausted",
            f"step {claim.seq} was tried {claim.attempts - 1} times and every invocation died",
        )

    try:
        graph, spending, saver = await _prepared(claim, run, known, rt)
    except (BadProject, BadInput, NotFound, Outgrown) as error:
        return failed(type(error).__name__, str(error))

    async def keep_finished() -> None:
        rows = saver.finished_rows()
        await rt.store.save(claim, rows, input_applied=bool(rows.checkpoints))
        await rt.cut("after keep")

    async def tell(events: Sequence[Event]) -> None:
        if await rt.store.tell(claim, events):
            watched = [Notice(Topic.THREAD, claim.thread_id)]
            await ring_outside(rt, watched, owner=claim.owner)

    margin = min(MARGIN * (deadline - time.monotonic()), MAX_MARGIN)
    clock = Clock(drain_at=deadline - 2 * margin, cancel_at=deadline - margin)
    meanwhile = Meanwhile(keep_finished, tell, rt.feed.show if rt.feed else None)
    marked = _marked(run, claim, rt)
    try:
        with spending.bound():
            result = await run_superstep(
                graph, saver.claim, marked, saver, clock=clock, meanwhile=meanwhile
            )
    except Outgrown as error:
        return failed(type(error).__name__, str(error))
    await rt.cut("after the node's effect")
    if result.ending is Ending.TIMEOUT and claim.attempts < rt.max_attempts:
        return replace(result, ending=Ending.AGAIN, error=None, events=None)
    return result


async def _prepared(
    claim: Claim, run: Run, known: Known, rt: Runtime
) -> tuple[Any, Spending, StepSaver]:
    """The graph, what the run may spend, and the saver, which has the checkpoint to start from.

    Raises what says that the run cannot be taken.
    """
    graph = await rt.graphs.load(run.graph_id, run.kwargs.get("config") or {})
    check_start(claim, run)
    serde = strict_serializer(rt.allowed_types)
    hooks = Hooks(graph, rt.graphs.upkeep(run.graph_id), codec_for(graph, serde), known)
    claim, carried = await renewed(claim, run, hooks, datetime.now(UTC))
    saver = StepSaver(rt.store, claim, serde=serde, known=known, carried=carried)
    steps = steps_taken(graph, claim, run)
    spending = await spending_of(claim, run, rt, steps=steps)
    return with_store(graph, rt, claim.owner), spending, saver


def failed(error: str, message: str) -> StepResult:
    return StepResult(Ending.FAILED, error={"error": error, "message": message})


def _marked(run: Run, claim: Claim, rt: Runtime) -> Run:
    """The run with what its checkpoints' metadata tells about who made them."""
    marks: Json = {"fence": claim.fence, "invocation": rt.invocation}
    if (version := rt.graphs.version(run.graph_id)) is not None:
        marks[VERSION] = version
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


def _cost(spent: Sequence[Spent]) -> Json:
    """For the metric of infra/monitoring.yaml: what calls cost is counted where it is logged."""
    return {"usd": float(total(spent).usd)} if spent else {}
