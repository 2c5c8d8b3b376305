"""One superstep of a compiled LangGraph graph; how that is done is known here alone.

LangGraph is driven by its own drain facility: the stop is requested as the superstep's first task
starts, and honoured in front of the next one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from langgraph.config import get_config
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl

from graph.budgets import Stopped
from graph.errors import LostClaim, Unavailable
from graph.runtime.checkpoints import bound
from graph.runtime.events import Show, StepEvents, Tell
from graph.runtime.given import graph_config, graph_input, place_of, step_of
from graph.runtime.models import Claim, Ending, Json, Run, StepResult
from graph.runtime.rendering import error_json, interrupts_json
from graph.runtime.step_saver import StepSaver
from graph.runtime.vanished import must_have_asked, must_have_nodes
from graph.signals import CallFailed, Signal

STEP_OVER, TIME_OVER = "step over", "time over"
HANDOVER_TURNS = 10  # of the event loop; what is late is kept with the next


Stream = AsyncIterator[tuple[str, Json]]


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What is stored while the step runs on."""

    keep: Callable[[], Awaitable[None]]  # what finished tasks did, while siblings run
    tell: Tell  # what those who follow the run want to know at once
    show: Show | None = None  # and those who follow it in this process need not wait for


@dataclass(frozen=True, slots=True)
class Clock:
    """How long a superstep may take, in `time.monotonic` seconds."""

    drain_at: float  # nested graphs stop in front of their next superstep
    cancel_at: float  # whatever still runs is given up


class OneStep(RunControl):
    """Lets the root graph take one superstep, and nested graphs as many as time allows.

    A nested graph that saw the root's drain before its own first superstep would never progress.
    """

    __slots__ = ("_drain_at",)

    def __init__(self, drain_at: float) -> None:
        super().__init__()
        self._drain_at = drain_at

    @property
    def drain_requested(self) -> bool:
        return self.drain_reason is not None

    @property
    def drain_reason(self) -> str | None:
        if _nested():
            return TIME_OVER if time.monotonic() >= self._drain_at else None
        return super().drain_reason


def _nested() -> bool:
    """Only a graph that runs inside a node finds itself in a runnable context."""
    try:
        get_config()
    except RuntimeError:
        return False
    return True


@dataclass(slots=True)
class _Seen:
    """What the stream told about the superstep so far."""

    started: dict[str, str] = field(default_factory=dict)  # names by task ids
    finished: set[str] = field(default_factory=set)
    interrupted: bool = False

    def note(self, mode: str, data: Json) -> None:
        if mode == "updates":
            self.interrupted = self.interrupted or "__interrupt__" in data
        elif "triggers" in data:
            self.started[data["id"]] = data["name"]
        else:
            self.finished.add(data["id"])

    @property
    def siblings_run_on(self) -> bool:
        return bool(self.finished) and self.finished < self.started.keys()


async def run_superstep(
    graph: Any, claim: Claim, run: Run, saver: StepSaver, *, clock: Clock, meanwhile: Meanwhile
) -> StepResult:
    """Take one superstep and say how it left the run; nothing is stored but through `meanwhile`.

    Raises what that raises, and Outgrown.
    """
    given = graph_input(run)
    must_have_nodes(graph, given, saver, run.graph_id)
    config = graph_config(graph, claim, run, saver)
    limit = config["recursion_limit"]
    stop_at = step_of(claim) + 2 + limit if run.stop_at is None else run.stop_at
    seen = _Seen()
    events = StepEvents(claim, run, place_of(graph, claim, run))
    stream = _stream(graph, run, saver, config, OneStep(clock.drain_at), events)
    async with events.flowing(meanwhile.tell, meanwhile.show):
        how = await _drive(stream, seen, saver, clock, meanwhile)
    must_have_asked(saver, given, seen.started)
    head = saver.head
    if how.ending is Ending.MORE and head and head.metadata["step"] >= stop_at:
        how = _How(Ending.FAILED, error_json(_too_many_steps(limit)))
    interrupts = _interrupts(how, claim, saver)
    if how.question is not None:
        events.asks(interrupts[""])
    return StepResult(
        ending=how.ending,
        rows=saver.step_rows(failed=how.ending is Ending.FAILED),
        head=head.checkpoint_id if head else None,
        ran_from=saver.ran_from,
        input_applied=True,
        stop_at=stop_at if run.stop_at is None else None,
        interrupts=interrupts,
        error=how.error,
        wake_in=how.wake_in,
        tasks=tuple(seen.started.values()),
        events=events.rest(how.ending),
        failed_call=how.failed_call,
    )


@dataclass(frozen=True, slots=True)
class _How:
    """How the stream came to its end."""

    ending: Ending
    error: Json | None = None
    wake_in: float | None = None
    question: Json | None = None  # the engine's own, not a node's
    failed_call: bool = False


async def _drive(
    stream: Stream, seen: _Seen, saver: StepSaver, clock: Clock, meanwhile: Meanwhile
) -> _How:
    """Follow the superstep to its end, whatever that is."""
    try:
        async with asyncio.timeout(clock.cancel_at - time.monotonic()) as timeout:
            async for mode, data in stream:
                seen.note(mode, data)
                if mode == "tasks" and seen.siblings_run_on:
                    await _writes_arrive(saver, seen.finished)
                    await meanwhile.keep()
        return _How(Ending.INTERRUPTED if seen.interrupted else Ending.DONE)
    except GraphDrained as drained:
        return _How(Ending.MORE) if drained.reason == STEP_OVER else _out_of_time(saver)
    except Stopped as stopped:
        return _How(Ending.INTERRUPTED, question=stopped.question)
    except Signal as signal:
        failed = isinstance(signal, CallFailed)
        return _How(Ending.LATER, wake_in=signal.wake_in, failed_call=failed)
    except (Unavailable, LostClaim):
        raise
    except Exception as raised:  # the edge to users' code: whatever a node raises
        return _out_of_time(saver) if timeout.expired() else _How(Ending.FAILED, error_json(raised))


def _out_of_time(saver: StepSaver) -> _How:
    """The next invocation goes on, unless this one, with all its time, came nowhere."""
    if saver.progressed:
        return _How(Ending.PARTIAL)
    message = "the step outlasted its invocation"
    return _How(Ending.TIMEOUT, {"error": "TimeoutError", "message": message})


def _interrupts(how: _How, claim: Claim, saver: StepSaver) -> Json:
    """What is asked of a person: by the tasks, or by a ceiling in front of the whole step."""
    if how.question is not None:
        return {"": [{"value": how.question, "id": f"{claim.thread_id}:{claim.seq}"}]}
    return interrupts_json(saver.interrupts) if how.ending is Ending.INTERRUPTED else {}


async def _writes_arrive(saver: StepSaver, finished: set[str]) -> None:
    """LangGraph tells of a finished task before it hands its writes over, in the background."""
    for _ in range(HANDOVER_TURNS):
        if saver.has_writes_of(finished):
            return
        await asyncio.sleep(0)


async def _stream(
    graph: Any, run: Run, saver: StepSaver, config: Json, control: OneStep, events: StepEvents
) -> Stream:
    """The root graph's task events and interrupts; asks for the stop at the first task."""
    async for item in bound(graph, saver).astream(
        graph_input(run),
        {**config, "callbacks": [*config["callbacks"], *events.callbacks]},
        context=run.kwargs.get("context"),
        stream_mode=events.modes,
        subgraphs=events.subgraphs,
        interrupt_before=run.kwargs.get("interrupt_before"),
        interrupt_after=run.kwargs.get("interrupt_after"),
        durability="async",
        control=control,
    ):
        ns, mode, data = item if events.subgraphs else ((), *item)
        events.note(ns, mode, data)
        if not ns and (mode == "tasks" or (mode == "updates" and "__interrupt__" in data)):
            control.request_drain(STEP_OVER)
            yield mode, data


def _too_many_steps(limit: int) -> GraphRecursionError:
    return GraphRecursionError(
        f"Recursion limit of {limit} reached without hitting a stop condition. You can increase "
        "the limit by setting the `recursion_limit` config key."
    )
