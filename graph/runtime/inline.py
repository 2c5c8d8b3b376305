"""Steps taken with a client on the line: in this process, while its time lasts."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from graph.errors import Unavailable
from graph.runtime.claims import claimed
from graph.runtime.engine import Runtime
from graph.runtime.line import Line
from graph.runtime.listening import Listener
from graph.runtime.models import Ending, Refusal, StepJob
from graph.runtime.ports import Queue
from graph.runtime.runs import ring
from graph.runtime.step import one_step, pass_over, ringing_for

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
    rt: Runtime, listener: Listener, job: StepJob, *, run_id: str, line: Line
) -> None:
    """Take a run's steps until it ends, or pass it on when the line does not hold that long.

    Never raises for a store or queue that does not answer: the message that was held back comes.
    """
    try:
        with listener.feeding(run_id) as feed:
            following = await _steps(replace(rt, feed=feed), job, line)
    except Unavailable:
        log.warning("the run goes on with its message", extra={"run_id": run_id}, exc_info=True)
        return
    log.info("inline", extra={"run_id": run_id, "passed_on": following is not None})


async def _steps(rt: Runtime, job: StepJob, line: Line) -> StepJob | None:
    """The job that was passed on, None if nothing is left to do."""
    outside: list[asyncio.Task[None]] = []
    guard: asyncio.Task[None] | None = None  # the first step's is on its way
    while True:
        claim, known = await claimed(job, rt, lease=line.lease)
        if isinstance(claim, Refusal):  # somebody else has it, or it is not due
            await pass_over(job, claim, rt)
            return job
        if outside:
            guard = asyncio.create_task(ring(rt, job, owner=claim.owner, delay=line.lease))
        taken = await one_step(claim, known, rt, deadline=time.monotonic() + line.lease)
        outside.append(ringing_for(rt, taken))
        if guard:
            await guard
        following, delay = taken.advanced.next_job, taken.advanced.delay
        if following is None or delay or taken.outcome != Ending.MORE or not line.holds:
            break
        job = following
    if following:
        await ring(rt, following, owner=taken.owner, delay=delay)
    await asyncio.gather(*outside)
    return following
