"""A claimed step, and those after it that the same process takes at once."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from graph.errors import BadInput, BadProject, LostClaim, NotFound, Outgrown, UserError
from graph.recording import recording
from graph.runtime.checkpoints import codec_for, strict_serializer
from graph.runtime.claims import keep
from graph.runtime.codec import Known
from graph.runtime.engine import Runtime
from graph.runtime.given import refused_now, steps_taken
from graph.runtime.long_term import with_store
from graph.runtime.models import (
    Advanced,
    Claim,
    Ending,
    Event,
    Json,
    Notice,
    Rows,
    Run,
    StepResult,
    Topic,
)
from graph.runtime.notices import after_step, ring_outside
from graph.runtime.recorder import wants_record, with_calls
from graph.runtime.renewal import Hooks, renewed
from graph.runtime.spending import spending_of
from graph.runtime.step_saver import StepSaver
from graph.runtime.superstep import Clock, Meanwhile, Supersteps
from graph.runtime.versions import VERSION
from graph.usage import Spent, noting, total

log = logging.getLogger("baton.step")

MARGIN = 0.1  # share of an invocation's time kept for saving, at most MAX_MARGIN seconds
MAX_MARGIN = 5.0

# The seconds that another step may take after so many; None once there are to be no more.
Pace = Callable[[int], float | None]


@dataclass(frozen=True, slots=True)
class Taken:
    """How one step went, and what is to be rung for."""

    outcome: str
    advanced: Advanced
    owner: str
    notices: tuple[Notice, ...] = ()  # for those outside


async def steps(
    claim: Claim, known: Known, rt: Runtime, *, deadline: float, pace: Pace
) -> AsyncGenerator[Taken, None]:
    """Take the claimed step and, while the pace allows, those after it; each as it is saved.

    They are one stream of the graph's, each claimed as the one before it is saved.
    """
    leg = _Leg(known, rt, pace, deadline)
    following: Claim | None = claim
    try:
        while following:
            taken = await leg.step(following)
            yield taken
            following = taken.advanced.claim
    finally:
        await leg.close()


class _Leg:
    """What one process does of a run, from a claim to where it passes the baton on."""

    def __init__(self, known: Known, rt: Runtime, pace: Pace, deadline: float) -> None:
        self._known, self._rt, self._pace = known, rt, pace
        self._deadline = deadline  # of the step
        self._taken = 0
        self._graph: Supersteps | None = None

    async def close(self) -> None:
        if self._graph:
            await self._graph.close()
        self._graph = None  # it asks this leg whether to go on: two that would hold each other

    async def step(self, claim: Claim) -> Taken:
        """Run the claimed step and save it, unless the claim was lost on the way."""
        started, rt = time.monotonic(), self._rt
        await rt.cut("after claim")
        if rt.feed:
            rt.feed.begin(claim)
        try:
            with noting() as spent, recording(wants_record(claim.run)) as calls:
                result = await self._take(claim)
            result = with_calls(result, claim, calls, strict_serializer(rt.allowed_types))
            result = replace(result, spent=tuple(spent))
            advanced = await self._saved(claim, result)
        except LostClaim:
            lost = _facts(claim, rt, "lost") | _cost(spent)
            log.warning("lost the claim, wrote nothing", extra=lost)
            if spent:
                await rt.store.charge(claim, spent)
            return Taken("lost", Advanced(None), claim.owner)
        if rt.feed and result.events:
            rt.feed.show([event for event in result.events if not event.seq])
        await rt.cut("after save")
        took = {"tasks": list(result.tasks), "ms": round((time.monotonic() - started) * 1000, 1)}
        log.info("step", extra=_facts(claim, rt, result.ending) | took | _cost(spent))
        notices = after_step(claim, result, advanced)
        return Taken(str(result.ending), advanced, claim.owner, notices)

    async def _saved(self, claim: Claim, result: StepResult) -> Advanced:
        """Save the step, with a claim on the next one if that is to be taken here."""
        self._taken += 1
        goes_on = result.ending is Ending.MORE and self._graph and self._graph.goes_on
        if lease := self._pace(self._taken) if goes_on else None:
            self._deadline = time.monotonic() + lease
        advanced = await self._rt.store.advance(claim, result, lease=lease)
        if advanced.claim is None:
            keep(claim, result, self._known, self._rt)
        return advanced

    async def _take(self, claim: Claim) -> StepResult:
        """Run the claimed superstep; whatever is wrong with the run itself ends it as an error."""
        rt, run = self._rt, claim.run
        assert run is not None, "a step is claimed for a run"
        if claim.attempts > rt.max_attempts:
            return _failed(
                "AttemptsExhausted",
                f"step {claim.seq} was tried {claim.attempts - 1} times and every invocation died",
            )
        if reason := refused_now(claim, run):
            return _refused(claim, reason)
        try:
            graph = self._graph = self._graph or await self._prepared(claim, run)
            before = steps_taken(graph.graph, claim, run)
            spending = await spending_of(claim, run, rt, steps=before)
            with spending.bound():
                result = await graph.take(claim, run, self._clock(), self._meanwhile(claim))
        except (BadProject, BadInput, NotFound, Outgrown) as error:
            return _failed(type(error).__name__, str(error))
        await rt.cut("after the node's effect")
        if result.ending is Ending.TIMEOUT and claim.attempts < rt.max_attempts:
            return replace(result, ending=Ending.AGAIN, error=None, events=None)
        return result

    async def _prepared(self, claim: Claim, run: Run) -> Supersteps:
        """The graph, in front of the claimed step.

        Raises what says that the run cannot be taken.
        """
        rt, known = self._rt, self._known
        graph = await rt.graphs.load(run.graph_id, run.kwargs.get("config") or {})
        serde = strict_serializer(rt.allowed_types)
        hooks = Hooks(graph, rt.graphs.upkeep(run.graph_id), codec_for(graph, serde), known)
        claim, carried = await renewed(claim, run, hooks, datetime.now(UTC))
        saver = StepSaver(
            rt.store, claim, serde=serde, known=known, carried=carried, marks=_marks(run, rt)
        )
        return Supersteps(with_store(graph, rt, claim.owner), saver, self._may_go_on)

    def _may_go_on(self) -> bool:
        return self._pace(self._taken + 1) is not None

    def _clock(self) -> Clock:
        margin = min(MARGIN * (self._deadline - time.monotonic()), MAX_MARGIN)
        return Clock(drain_at=self._deadline - 2 * margin, cancel_at=self._deadline - margin)

    def _meanwhile(self, claim: Claim) -> Meanwhile:
        rt = self._rt

        async def keep_finished(rows: Rows) -> None:
            await rt.store.save(claim, rows, input_applied=bool(rows.checkpoints))
            await rt.cut("after keep")

        async def tell(events: Sequence[Event]) -> None:
            if await rt.store.tell(claim, events):
                watched = [Notice(Topic.THREAD, claim.thread_id)]
                await ring_outside(rt, watched, owner=claim.owner)

        return Meanwhile(keep_finished, tell, rt.feed.show if rt.feed else None)


def ringing_for(rt: Runtime, taken: Taken) -> "asyncio.Task[None]":
    """Those outside are rung for meanwhile: they never hold a thread back."""
    return asyncio.create_task(ring_outside(rt, taken.notices, owner=taken.owner))


def _failed(error: str, message: str) -> StepResult:
    return StepResult(Ending.FAILED, error={"error": error, "message": message})


def _refused(claim: Claim, reason: UserError) -> StepResult:
    """The run ends, and the thread stays as it is."""
    result = _failed(type(reason).__name__, str(reason))
    return replace(result, interrupts=claim.interrupts, rests_as=claim.rests_as)


def _marks(run: Run, rt: Runtime) -> Json:
    """What checkpoints' metadata tells about who made them."""
    version = rt.graphs.version(run.graph_id)
    return {"invocation": rt.invocation} | ({} if version is None else {VERSION: version})


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
