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
from graph.runtime.models import Refusal, Run, StepJob
from graph.runtime.ports import Queue
from graph.runtime.runs import ring
from graph.runtime.step import pass_over

log = logging.getLogger("baton.inline")


@dataclass(slots=True)
class HeldBack:
    """A queue whose first message is for this process."""

    queue: Queue
    job: StepJob | None = None  # what is to be stepped here

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        if self.job is None and not delay:
            self.job = job
        else:
            await self.queue.send(job, owner=owner, delay=delay)


async def step_inline(
    rt: Runtime, listener: Listener | None, job: StepJob, *, run: Run, line: Line
) -> None:
    """Take a run's steps until it ends, or pass it on when the line does not hold that long.

    One message, the guard, comes when the first step's lease is over and looks where the run is: if
    this process has died, workers go on from there. Those who follow the run by the listener hear
    of it before it is written. Never raises for a store or queue that does not answer.
    """
    told = {"run_id": run.run_id}
    guard = replace(job, redelivered=True, guards=run.run_id)
    guarding = asyncio.create_task(ring(rt, guard, owner=run.owner, delay=line.lease))
    try:
        with listener.feeding(run.run_id) if listener else nullcontext() as feed:
            following = await _steps(replace(rt, feed=feed), job, line)
    except Unavailable:
        log.warning("the run goes on with its guard", extra=told, exc_info=True)
    else:
        log.info("inline", extra={**told, "passed_on": following is not None})
    finally:
        await guarding


async def _steps(rt: Runtime, job: StepJob, line: Line) -> StepJob | None:
    """The job that was passed on, None if nothing is left to do."""
    ((claim, known),) = await claimed([job], rt, lease=line.lease)
    if isinstance(claim, Refusal):  # somebody else has it, or it is not due
        await pass_over(job, claim, rt)
        return job
    outside: list[asyncio.Task[None]] = []
    deadline = time.monotonic() + line.lease
    going = steps(
        claim, known, rt, deadline=deadline, pace=lambda _: line.lease if line.holds else None
    )
    async with aclosing(going) as taking:
        async for taken in taking:
            outside.append(ringing_for(rt, taken))
    if following := taken.advanced.next_job:
        await ring(rt, following, owner=claim.owner, delay=taken.advanced.delay)
    await asyncio.gather(*outside)
    return following
