"""Runs, as clients start and stop them."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from graph.ceilings import budget_of, raised
from graph.errors import NotFound, Unavailable
from graph.runtime.engine import Runtime
from graph.runtime.models import (
    Advanced,
    Created,
    NewRun,
    Run,
    StepJob,
    Thread,
    ThreadStatus,
)

log = logging.getLogger("baton.runs")


async def start_run(rt: Runtime, new: NewRun, *, make_thread: bool = False) -> Run:
    """Accept a run and ring for its first step; `make_thread` makes a missing thread first.

    Raises what `create_run` raises, and BadInput for a budget that cannot be understood.
    """
    new = replace(new, kwargs=raised(new.kwargs))
    budget_of(new.kwargs)
    created = await _create(rt, new, make_thread=make_thread)
    if created.job is not None:
        await ring(rt, created.job, owner=new.owner, delay=new.delay)
    return created.run


async def _create(rt: Runtime, new: NewRun, *, make_thread: bool) -> Created:
    try:
        return await rt.store.create_run(new)
    except NotFound:
        # A new thread has neither the checkpoint nor the question that the run would go on from.
        if not make_thread or new.kwargs.get("checkpoint_id") or _resumes(new):
            raise
    await rt.store.create_thread(new_thread(new.thread_id, new.owner), if_exists="do_nothing")
    return await rt.store.create_run(new)


def _resumes(new: NewRun) -> bool:
    return "resume" in (new.kwargs.get("command") or {})


def new_thread(thread_id: str, owner: str, **more: Any) -> Thread:
    """A thread on which nothing ran, to be given to the store; `more` are fields of Thread."""
    now = datetime.now(UTC)
    return Thread(thread_id, owner, ThreadStatus.IDLE, created_at=now, updated_at=now, **more)


async def stop_run(rt: Runtime, run_id: str, thread_id: str, owner: str) -> None:
    """Cancel a run and ring for the one that waits behind it; raises NotFound, Conflict."""
    await pass_on(rt, await rt.store.cancel_run(run_id, thread_id, owner), owner=owner)


async def pass_on(rt: Runtime, advanced: Advanced, *, owner: str) -> None:
    """Ring for what the thread does next, if anything."""
    if advanced.next_job is not None:
        await ring(rt, advanced.next_job, owner=owner, delay=advanced.delay)


async def ring(rt: Runtime, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
    """Ring once. What was accepted stays accepted when the queue is down: the sweep rings later."""
    try:
        await rt.queue.send(job, owner=owner, delay=delay)
    except Unavailable:
        facts = {"thread_id": job.thread_id, "seq": job.seq}
        log.warning("the queue did not answer, the sweep will ring", extra=facts, exc_info=True)
