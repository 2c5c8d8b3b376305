"""A claimed step, and what it leaves behind."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from graph.runtime.models.events import Event
from graph.runtime.models.jobs import StepJob
from graph.runtime.models.json import Json
from graph.runtime.models.rows import CheckpointRow, Rows, Stored
from graph.runtime.models.runs import Run, RunStatus
from graph.runtime.models.threads import ThreadStatus
from graph.usage import NOTHING, Spent, Totals


class Verdict(StrEnum):
    """What `claim` says to a message."""

    YOURS = "yours"
    DUPLICATE = "duplicate"  # that step is done
    BUSY = "busy"  # that step is leased to somebody
    EARLY = "early"  # the thread has not come that far
    ASLEEP = "asleep"  # the step is not due yet
    STOPPED = "stopped"  # the kill switch is on
    GONE = "gone"  # there is no such thread


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to take one step of one thread, and what it starts from."""

    thread_id: str
    owner: str
    seq: int
    fence: int
    attempts: int  # claims since the thread last came on, this one included
    head: str | None
    run: Run | None  # None: a client edits the state, no run is active
    stored: Stored | None
    spent: Totals = NOTHING  # by all of the thread's runs so far
    told: int = 0  # number of the thread's newest event
    # How the run finds the thread; said in front of its first step, for it may have waited long.
    rests_as: ThreadStatus = ThreadStatus.IDLE
    interrupts: Json = field(default_factory=dict)

    def followed(
        self, result: "StepResult", *, fence: int, told: int, by_run: Totals, by_thread: Totals
    ) -> "Claim":
        """The claim on the step after this one, which was taken as this one's result was saved.

        Its checkpoint is known to whoever made it: it has no values.
        """
        start = result.start_of_next
        assert self.run is not None, "steps are taken for a run"
        assert start is not None, "there is a next step"
        failures = result.failures_after(self.run)
        run = replace(
            self.run,
            kwargs={k: v for k, v in self.run.kwargs.items() if k not in ("input", "command")},
            input_applied=True,
            stop_at=self.run.stop_at if result.stop_at is None else result.stop_at,
            spent=by_run,
            failures=self.run.failures if failures is None else failures,
        )
        return Claim(
            thread_id=self.thread_id,
            owner=self.owner,
            seq=self.seq + 1,
            fence=fence,
            attempts=1,
            head=result.head,
            run=run,
            stored=Stored(start),
            spent=by_thread,
            told=told,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message got no claim, and where the thread stands."""

    verdict: Verdict
    seq: int = 0
    active: bool = False
    leased_for: float = 0.0  # seconds until the live lease ends
    due_in: float = 0.0  # seconds until the thread may be stepped
    owner: str = ""


class Ending(StrEnum):
    """How a superstep left the run."""

    MORE = "more"  # a superstep is done, more follow
    PARTIAL = "partial"  # time ran out inside the superstep, part of it is saved
    LATER = "later"  # a node asked to be run again later
    AGAIN = "again"  # time ran out and nothing came of it: one attempt less
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    TIMEOUT = "timeout"

    @property
    def ends_run(self) -> bool:
        return self.run_status is not None

    @property
    def completes_step(self) -> bool:
        return self not in (Ending.PARTIAL, Ending.LATER, Ending.AGAIN)

    @property
    def run_status(self) -> RunStatus | None:
        """What becomes of the run, None while it goes on."""
        return _RUN_ENDS_AS.get(self)

    @property
    def thread_status(self) -> ThreadStatus | None:
        """What becomes of a thread with no other run waiting, None while the run goes on."""
        return _THREAD_RESTS_AS.get(self)


_RUN_ENDS_AS = {
    Ending.DONE: RunStatus.SUCCESS,
    Ending.INTERRUPTED: RunStatus.INTERRUPTED,
    Ending.FAILED: RunStatus.ERROR,
    Ending.TIMEOUT: RunStatus.TIMEOUT,
}


_THREAD_RESTS_AS = {
    Ending.DONE: ThreadStatus.IDLE,
    Ending.INTERRUPTED: ThreadStatus.INTERRUPTED,
    Ending.FAILED: ThreadStatus.ERROR,
    Ending.TIMEOUT: ThreadStatus.ERROR,
}


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one superstep did, ready to be saved in one statement."""

    ending: Ending
    rows: Rows = field(default_factory=Rows)
    head: str | None = None  # newest root checkpoint, None if the step made none
    ran_from: str | None = None  # the checkpoint that its tasks started from
    input_applied: bool = False
    stop_at: int | None = None
    interrupts: Json = field(default_factory=dict)
    error: Json | None = None
    wake_in: float | None = None  # seconds until the thread may be stepped again
    tasks: tuple[str, ...] = ()  # names of the nodes that ran, for the log
    spent: tuple[Spent, ...] = ()  # by the model calls that were made
    events: tuple[Event, ...] | None = None  # None: the run has no events, or this attempt none
    failed_call: bool = False  # it waits because a model call failed
    rests_as: ThreadStatus | None = None  # the thread, where the ending does not say it

    @property
    def thread_status(self) -> ThreadStatus | None:
        """What becomes of a thread with no other run waiting, None while the run goes on."""
        return self.rests_as or self.ending.thread_status

    @property
    def start_of_next(self) -> CheckpointRow | None:
        """The checkpoint that the run's next step starts from: there is one, and it is known."""
        made = (row for row in self.rows.checkpoints if row.checkpoint_id == self.head)
        return next(made, None) if self.ending is Ending.MORE else None

    def failures_after(self, run: Run | None) -> int | None:
        """How many calls have failed at the step that comes next; None: as many as before."""
        before = run.failures if run else 0
        if self.failed_call:
            return before + 1
        return 0 if before and self.ending.completes_step else None


@dataclass(frozen=True, slots=True)
class Advanced:
    """Where the thread stands after a save: the job to ring next, if any."""

    next_job: StepJob | None
    delay: float = 0.0  # seconds until that job is due
    watched: bool = False  # somebody outside follows the thread
    claim: Claim | None = None  # on that job's step, if it was asked for
