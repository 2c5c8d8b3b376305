"""The supersteps of a compiled LangGraph graph, one by one; how that is done is known here
and in `reins` alone.

They are one stream of LangGraph's, which tells of a superstep's tasks before any of them starts:
there it is held until the superstep before is saved and the next one claimed. The end is told to it
by its own drain facility, which it asks in front of each superstep.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from langgraph.errors import (
    ErrorCode,
    GraphDrained,
    GraphRecursionError,
    create_error_message,
)

from graph.budgets import Stopped
from graph.errors import LostClaim, Unavailable
from graph.runtime.checkpoints import bound
from graph.runtime.events import Show, StepEvents, Tell
from graph.runtime.given import RECURSION_LIMIT, graph_config, graph_input, place_of, step_of
from graph.runtime.models import Claim, Ending, Json, Rows, Run, StepResult
from graph.runtime.reins import STEP_OVER, Reins
from graph.runtime.rendering import error_json, interrupts_json
from graph.runtime.step_saver import StepSaver
from graph.runtime.vanished import must_have_asked, must_have_nodes
from graph.signals import CallFailed, Signal

HANDOVER_TURNS = 10  # of the event loop; what is late is kept with the next


Item = tuple[tuple[str, ...], str, Any]  # the namespace, the mode, and what is told


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What is stored while the step runs on."""

    keep: Callable[[Rows], Awaitable[None]]  # what finished tasks did, while siblings run
    tell: Tell  # what those who follow the run want to know at once
    show: Show | None = None  # and those who follow it in this process need not wait for


@dataclass(frozen=True, slots=True)
class Clock:
    """How long a superstep may take, in `time.monotonic` seconds."""

    drain_at: float  # nested graphs stop in front of their next superstep
    cancel_at: float  # whatever still runs is given up


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


@dataclass(frozen=True, slots=True)
class _How:
    """How a superstep came to its end."""

    ending: Ending
    error: Json | None = None
    wake_in: float | None = None
    question: Json | None = None  # the engine's own, not a node's
    failed_call: bool = False


class Supersteps:
    """A run's supersteps, each taken by a claim of its own."""

    def __init__(self, graph: Any, saver: StepSaver, may_go_on: Callable[[], bool]) -> None:
        self.graph = graph
        self._saver = saver
        self._reins = Reins(may_go_on)
        self._stream: Any = None  # of LangGraph's
        self._limit = RECURSION_LIMIT
        self._held: Item | None = None  # the first that is told of the next superstep
        self._events: StepEvents

    @property
    def goes_on(self) -> bool:
        """Whether LangGraph stands in front of another superstep."""
        return self._held is not None

    async def close(self) -> None:
        """Give up what runs, and what has not started."""
        if self._stream is not None:
            await self._stream.aclose()

    async def take(self, claim: Claim, run: Run, clock: Clock, meanwhile: Meanwhile) -> StepResult:
        """Take one superstep and say how it left the run; nothing is stored but by `meanwhile`.

        Raises what that raises, and Outgrown.
        """
        saver, given, seen = self._saver, graph_input(run), _Seen()
        if self._stream is not None:
            saver.begin(claim)
        must_have_nodes(self.graph, given, saver, run.graph_id)
        self._events = StepEvents(claim, run, place_of(self.graph, claim, run))
        if self._stream is None:
            self._open(claim, run)
        self._reins.drain_at = clock.drain_at
        async with self._events.flowing(meanwhile.tell, meanwhile.show):
            how = await self._drive(seen, clock, meanwhile)
        must_have_asked(saver, given, seen.started)
        return self._result(claim, run, how, seen)

    def _open(self, claim: Claim, run: Run) -> None:
        config, events = graph_config(self.graph, claim, run, self._saver), self._events
        told = events.callbacks(lambda event: self._events.note((), "events", event))
        self._limit = config["recursion_limit"]
        self._stream = bound(self.graph, self._saver).astream(
            graph_input(run),
            {**config, "callbacks": [*config["callbacks"], *told]},
            context=run.kwargs.get("context"),
            stream_mode=events.modes,
            subgraphs=events.subgraphs,
            interrupt_before=run.kwargs.get("interrupt_before"),
            interrupt_after=run.kwargs.get("interrupt_after"),
            durability="async",
            control=self._reins,
        )

    async def _drive(self, seen: _Seen, clock: Clock, meanwhile: Meanwhile) -> _How:
        """Follow the superstep to its end, whatever that is."""
        try:
            async with asyncio.timeout(clock.cancel_at - time.monotonic()) as timeout:
                await self._follow(seen, meanwhile)
                if self.goes_on:
                    await self._saver.settle(self._reins.turn - 1)
                    return _How(Ending.MORE)
            return _How(Ending.INTERRUPTED if seen.interrupted else Ending.DONE)
        except GraphDrained as drained:
            over = drained.reason == STEP_OVER
            return _How(Ending.MORE) if over else _out_of_time(self._saver)
        except Stopped as stopped:
            return _How(Ending.INTERRUPTED, question=stopped.question)
        except Signal as signal:
            failed = isinstance(signal, CallFailed)
            return _How(Ending.LATER, wake_in=signal.wake_in, failed_call=failed)
        except (Unavailable, LostClaim):
            raise
        except Exception as raised:  # the edge to users' code: whatever a node raises
            if timeout.expired():
                return _out_of_time(self._saver)
            return _How(Ending.FAILED, error_json(raised))

    async def _follow(self, seen: _Seen, meanwhile: Meanwhile) -> None:
        """Take in what LangGraph tells, up to the start of the next superstep."""
        self._reins.begun = 0
        if self._held is not None:
            await self._note(self._held, seen, meanwhile)
            self._held = None
        async for item in self._stream:
            told = item if self._events.subgraphs else ((), *item)
            if self._starts_next(told):
                self._held = told
                return
            await self._note(told, seen, meanwhile)

    def _starts_next(self, item: Item) -> bool:
        ns, mode, data = item
        starts = not ns and mode == "tasks" and "triggers" in data
        return starts and 0 < self._reins.begun < self._reins.turn

    async def _note(self, item: Item, seen: _Seen, meanwhile: Meanwhile) -> None:
        ns, mode, data = item
        self._events.note(*item)
        if ns or not (mode == "tasks" or (mode == "updates" and "__interrupt__" in data)):
            return
        seen.note(mode, data)
        if mode == "tasks":
            self._reins.begun = self._reins.begun or self._reins.turn
            if seen.siblings_run_on:
                await _writes_arrive(self._saver, seen.finished)
                await meanwhile.keep(self._saver.rows.finished())

    def _result(self, claim: Claim, run: Run, how: _How, seen: _Seen) -> StepResult:
        saver, events = self._saver, self._events
        head, limit = saver.rows.head, self._limit
        stop_at = step_of(claim) + 2 + limit if run.stop_at is None else run.stop_at
        if how.ending is Ending.MORE and head and head.metadata["step"] >= stop_at:
            how = _How(Ending.FAILED, error_json(_too_many_steps(limit)))
        interrupts = _interrupts(how, claim, saver)
        if how.question is not None:
            events.asks(interrupts[""])
        return StepResult(
            ending=how.ending,
            rows=saver.rows.all(failed=how.ending is Ending.FAILED),
            head=head.checkpoint_id if head else None,
            ran_from=saver.rows.ran_from,
            input_applied=True,
            stop_at=stop_at if run.stop_at is None else None,
            interrupts=interrupts,
            error=how.error,
            wake_in=how.wake_in,
            tasks=tuple(seen.started.values()),
            events=events.rest(how.ending),
            failed_call=how.failed_call,
        )


def _out_of_time(saver: StepSaver) -> _How:
    """The next invocation goes on, unless this one, with all its time, came nowhere."""
    if saver.rows.progressed:
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
        if saver.rows.has_writes_of(finished):
            return
        await asyncio.sleep(0)


def _too_many_steps(limit: int) -> GraphRecursionError:
    return GraphRecursionError(
        create_error_message(
            message=f"Recursion limit of {limit} reached without hitting a stop condition. You can "
            "increase the limit by setting the `recursion_limit` config key.",
            error_code=ErrorCode.GRAPH_RECURSION_LIMIT,
        )
    )
