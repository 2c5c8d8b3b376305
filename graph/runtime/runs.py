"""Runs, as clients start and stop them."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from graph.call_options import call_options
from graph.ceilings import budget_of, raised
from graph.errors import Conflict, NotFound, Unavailable
from graph.runtime.engine import Runtime
from graph.runtime.models import (
    Advanced,
    Created,
    Json,
    NewRun,
    Run,
    RunStatus,
    StepJob,
    Thread,
    ThreadStatus,
)
from graph.runtime.notices import after_end, ring_outside
from graph.runtime.stamps import stamped
from graph.runtime.versions import VERSION
from graph.runtime.webhooks import check_webhook

log = logging.getLogger("baton.runs")

STATELESS: Json = {"stateless": True}  # metadata of a thread that was made for one run
BATCH = 100


async def start_run(rt: Runtime, new: NewRun, *, make_thread: bool = False) -> Run:
    """Accept a run and ring for its first step; `make_thread` makes a missing thread first.

    Raises what `create_run` raises, and BadInput for a budget that cannot be understood.
    """
    new = checked(rt, new)
    return await begun(rt, new, await _create(rt, new, make_thread=make_thread))


async def start_alone(rt: Runtime, new: Sequence[NewRun]) -> list[Run]:
    """Accept runs, each on a thread made for it, all or none; and ring for them.

    Raises Conflict when an Idempotency-Key came with another request, and BadInput.
    """
    metadata = stamped(STATELESS)
    new = [replace(checked(rt, each), thread_metadata=metadata) for each in new]
    created = await rt.store.create_alone(new)
    return [await begun(rt, *each) for each in zip(new, created, strict=True)]


def checked(rt: Runtime, new: NewRun) -> NewRun:
    """The run as it is to be accepted; raises BadInput for a wrong option."""
    new = replace(new, kwargs=raised(new.kwargs), most_unfinished=rt.most_unfinished)
    if (version := rt.graphs.version(new.graph_id)) is not None:
        new = replace(new, kwargs={**new.kwargs, VERSION: version})
    budget_of(new.kwargs, rt.budget)
    call_options(new.kwargs)
    if "webhook" in new.kwargs:
        check_webhook(rt, new.kwargs["webhook"])
    return new


async def begun(rt: Runtime, new: NewRun, created: Created) -> Run:
    """Ring for a run that was accepted, and tell of those that ended for it."""
    if created.job is not None:
        await ring(rt, created.job, owner=new.owner, delay=new.delay)
    for run_id in created.ended:
        await ring_outside(rt, after_end(run_id, new.thread_id), owner=new.owner)
    return created.run


async def _create(rt: Runtime, new: NewRun, *, make_thread: bool) -> Created:
    try:
        return await rt.store.create_run(new)
    except NotFound:
        # A new thread is at no checkpoint, and asks nothing: the run would not be accepted there.
        if not make_thread or new.kwargs.get("checkpoint_id") or new.if_match or new.resumes:
            raise
    minutes, strategy = rt.retention.ttl or (None, None)
    thread = new_thread(new.thread_id, new.owner, ttl_minutes=minutes, ttl_strategy=strategy)
    await rt.store.create_thread(thread, if_exists="do_nothing")
    return await rt.store.create_run(new)


def new_thread(thread_id: str, owner: str, **more: Any) -> Thread:
    """A thread on which nothing ran, to be given to the store; `more` are fields of Thread."""
    now = datetime.now(UTC)
    more["metadata"] = stamped(more.get("metadata", {}))
    return Thread(thread_id, owner, ThreadStatus.IDLE, created_at=now, updated_at=now, **more)


async def stop_run(
    rt: Runtime, run_id: str, thread_id: str, owner: str, *, undo: bool = False
) -> None:
    """Cancel a run and ring for the one that waits behind it; raises NotFound, Conflict.

    `undo` leaves nothing of it.
    """
    advanced = await rt.store.cancel_run(run_id, thread_id, owner, undo=undo)
    await pass_on(rt, advanced, owner=owner)
    await ring_outside(rt, after_end(run_id, thread_id), owner=owner)


async def stop_runs(
    rt: Runtime,
    owner: str,
    *,
    thread_id: str | None = None,
    run_ids: Sequence[str] | None = None,
    status: RunStatus | None = None,
    undo: bool = False,
) -> None:
    """Cancel those of an owner's runs that have not ended, one after the other.

    Newest first, so that none begins because the one before it is gone. Raises NotFound, before
    anything is cancelled, for a thread or a run that does not exist.
    """
    await _must_exist(rt, owner, thread_id, run_ids)
    wanted = partial(
        rt.store.unfinished_runs, owner, thread_id=thread_id, run_ids=run_ids, status=status
    )
    while found := await wanted(limit=BATCH):
        for run_id, of_thread in found:
            with suppress(Conflict, NotFound):  # it has ended meanwhile
                await stop_run(rt, run_id, of_thread, owner, undo=undo)


async def _must_exist(
    rt: Runtime, owner: str, thread_id: str | None, run_ids: Sequence[str] | None
) -> None:
    if thread_id is not None:
        await rt.store.get_thread(thread_id, owner)
    known = {
        run.run_id
        for run in await rt.store.runs_by_id(run_ids or ())
        if run.owner == owner and thread_id in (None, run.thread_id)
    }
    if unknown := [run_id for run_id in run_ids or () if run_id not in known]:
        where = f" on thread {thread_id}" if thread_id else ""
        raise NotFound(f"run {unknown[0]} does not exist{where}")


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
