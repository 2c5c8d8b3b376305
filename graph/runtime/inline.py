"""Steps taken with a client on the line: in this process, while its time lasts."""

import asyncio
import logging
import time
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace

from graph.errors import Unavailable
from graph.runtime.claims import claimed
from graph.runtime.engine import Runtime
from graph.runtime.leg import ringing_for, steps
from graph.runtime.line import Line
from graph.runtime.listening import Listener
from graph.runtime.models import Refusal, StepJob
from graph.runtime.ports import Queue
from graph.runtime.runs import ring
from graph.runtime.step import pass_over

log = logging.getLogger("baton.inline")


@dataclass(slots=True)
class HeldBack:
    """A queue whose first message is for this process, and comes out when its lease is over.

    The message is the same as ever: if the process dies, a worker takes the step that it rings for.
    """

    queue: Queue
    lease: float
    job: StepJob | None = None  # what is to be stepped here

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        if self.job is None and not delay:
            self.job, delay = job, self.lease
        await self.queue.send(job, owner=owner, delay=delay)


async def step_inline(
    rt: Runtime, listener: Listener | None, job: StepJob, *, run_id: str, line: Line
) -> None:
    """Take a run's steps until it ends, or pass it on when the line does not hold that long.

    Those who follow it by the listener hear of it before it is written.
    Never raises for a store or queue that does not answer: the message that was held back comes.
    """
    try:
        with listener.feeding(run_id) if listener else nullcontext() as feed:
            following = await _steps(replace(rt, feed=feed), job, line)
    except Unavailable:
        log.warning("the run goes on with its message", extra={"run_id": run_id}, exc_info=True)
        return
    log.info("inline", extra={"run_id": run_id, "passed_on": following is not None})


async def _steps(rt: Runtime, job: StepJob, line: Line) -> StepJob | None:
    """The job that was passed on, None if nothing is left to do."""
    ((claim, known),) = await claimed([job], rt, lease=line.lease)
    if isinstance(claim, Refusal):  # somebody else has it, or it is not due
        await pass_over(job, claim, rt)
        return job
    outside: list[asyncio.Task[None]] = []
    guard: asyncio.Task[None] | None = None  # the message of a step; the first's is on its way
    deadline = time.monotonic() + line.lease
    going = steps(
        claim, known, rt, deadline=deadline, pace=lambda _: line.lease if line.holds else None
    )
    async with aclosing(going) as taking:
        async for taken in taking:
            outside.append(ringing_for(rt, taken))
            if guard:
                await guard
            following = taken.advanced.next_job
            if following and taken.advanced.claim:
                ringing = ring(rt, following, owner=claim.owner, delay=line.lease)
                guard = asyncio.create_task(ringing)
    if following:
        await ring(rt, following, owner=claim.owner, delay=taken.advanced.delay)
    await asyncio.gather(*outside)
    return following
