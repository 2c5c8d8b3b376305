"""Runs whose client waits, stepped in this very process where that is allowed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fastapi import Request

from functions.api.edge import Edge
from graph.runtime.late import late
from graph.runtime.line import Line
from graph.runtime.models import Run

log = logging.getLogger("baton.inline")

MOST = 32  # runs that one process steps at once; others go through the queue
FOLLOWED = "baton.followed"  # in a scope: its client reads on another line of what it starts
Starting = Callable[[Edge], Awaitable[Run]]  # given the edge to start a run with


async def if_followed(request: Request, edge: Edge, starting: Starting) -> Run:
    """A run as it was accepted, its steps taken here if its client has a line to follow it."""
    if not request.scope.get(FOLLOWED):
        return await starting(edge)
    return await on_line(request, edge, starting, told_here=False)


async def on_line(
    request: Request, edge: Edge, starting: Starting, *, told_here: bool = True
) -> Run:
    """A run as it was accepted; its steps are taken here, unless it must wait for its turn.

    Those who read what is stored want it written at once: to them it is not `told_here`.
    """
    buffered = "aws.event" in request.scope
    if buffered or not edge.line_seconds or len(edge.lines) >= MOST:
        return await starting(edge)
    inline = await late("graph.runtime.inline")
    line = Line(time.monotonic() + edge.line_seconds, edge.line_lease)
    held = inline.HeldBack(edge.rt.queue)
    run = await starting(replace(edge, rt=replace(edge.rt, queue=held)))
    if held.job is not None:
        given = (edge.rt, edge.listener if told_here else None, held.job)
        stepping = inline.step_inline(*given, run=run, line=line)
        task = asyncio.create_task(stepping)
        edge.lines[run.run_id] = line, task
        edge.follower.stepped_by(task, run.run_id)
        task.add_done_callback(lambda task: _over(edge, run.run_id, task))
    return run


def _over(edge: Edge, run_id: str, task: "asyncio.Task[None]") -> None:
    del edge.lines[run_id]
    if not task.cancelled() and (error := task.exception()):  # its message comes all the same
        log.error("stepping stopped", extra={"run_id": run_id}, exc_info=error)


def hand_over(edge: Edge, run_id: str) -> None:
    """The client is gone: somebody else takes the run's next step."""
    if run_id in edge.lines:
        line, _ = edge.lines[run_id]
        line.left.set()
