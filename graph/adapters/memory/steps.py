"""The step protocol on memory: claim, hold, save, advance."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta

from graph.adapters.memory.shelf import ROOT, newest_root
from graph.adapters.memory.tables import Call, MemoryTables, ThreadRow
from graph.errors import Conflict
from graph.runtime.models import (
    SKIPPED,
    Advanced,
    Claim,
    Ending,
    Refusal,
    Rows,
    Run,
    RunStatus,
    StepJob,
    StepResult,
    Stored,
    ThreadStatus,
    Verdict,
)
from graph.usage import Spent

RUN_ENDS_AS = {
    Ending.DONE: RunStatus.SUCCESS,
    Ending.INTERRUPTED: RunStatus.INTERRUPTED,
    Ending.FAILED: RunStatus.ERROR,
    Ending.TIMEOUT: RunStatus.TIMEOUT,
}


class MemorySteps(MemoryTables):
    """`StepStore` on memory."""

    async def claim(
        self,
        jobs: Sequence[tuple[StepJob, str | None]],
        *,
        lease: float,
        now: datetime | None = None,
    ) -> list[Claim | Refusal]:
        now = now or self.clock()
        return [self._claimed(job, cached, lease, now) for job, cached in jobs]

    def _claimed(
        self, job: StepJob, cached: str | None, lease: float, now: datetime
    ) -> Claim | Refusal:
        row = self.tables.threads.get(job.thread_id)
        if row is None:
            return Refusal(Verdict.GONE)
        verdict = self._verdict(row, job.seq, now)
        run_id = row.thread.active_run_id
        if verdict is not Verdict.YOURS or run_id is None:
            return row.refusal(verdict, now)
        row.take(now, lease)
        if row.attempts == 0:
            row.events_kept = row.events
        else:
            row.events += SKIPPED
        row.attempts += 1
        run = self.tables.runs[run_id]
        if run.status is RunStatus.PENDING:
            run = self.tables.update_run(run_id, status=RunStatus.RUNNING, updated_at=now)
        stored = self._start(row, run)
        if stored and stored.row.checkpoint_id == cached:
            stored = Stored(replace(stored.row, body=b""), writes=stored.writes)
        return _claim(row, deepcopy(_to_go(run)), stored)

    def _verdict(self, row: ThreadRow, seq: int, now: datetime) -> Verdict:
        thread = row.thread
        refusals = (
            (seq > thread.seq, Verdict.EARLY),
            (seq < thread.seq or thread.active_run_id is None, Verdict.DUPLICATE),
            (row.leased(now), Verdict.BUSY),
            (row.asleep(now), Verdict.ASLEEP),
            (self.stopped, Verdict.STOPPED),
        )
        return next((verdict for refused, verdict in refusals if refused), Verdict.YOURS)

    def _start(self, row: ThreadRow, run: Run) -> Stored | None:
        asked = None if run.input_applied else run.kwargs.get("checkpoint_id")
        start = asked or row.thread.head
        return self.tables.shelf(run.thread_id).stored((ROOT, start)) if start else None

    async def hold(self, thread_id: str, owner: str, *, lease: float) -> Claim:
        row = self._owned(thread_id, owner)
        now = self.clock()
        if row.thread.active_run_id is not None:
            raise Conflict(
                f"thread {thread_id} is busy with run {row.thread.active_run_id}:"
                " wait for it or cancel it"
            )
        if row.leased(now):
            raise Conflict(f"thread {thread_id} is being edited by another request: try again")
        row.take(now, lease)
        return _claim(row, None, None)

    async def release(self, claim: Claim) -> Advanced:
        row = self.tables.threads.get(claim.thread_id)
        if row is None or row.fence != claim.fence:
            return Advanced(None)
        row.fence += 1
        row.lease_until = None
        return row.advanced(self.clock())

    async def save(self, claim: Claim, rows: Rows, *, input_applied: bool) -> None:
        row = self._fenced(claim)
        run_id = claim.run.run_id if claim.run else None
        self.tables.shelf(claim.thread_id).add(rows, run_id=run_id)
        row.update(head=newest_root(rows) or row.thread.head)
        if claim.run and input_applied:
            self.tables.update_run(claim.run.run_id, input_applied=True)

    async def advance(
        self, claim: Claim, result: StepResult, *, lease: float | None = None
    ) -> Advanced:
        row = self._fenced(claim)
        now = self.clock()
        run_id = claim.run.run_id if claim.run else None
        self.tables.shelf(claim.thread_id).add(result.rows, run_id=run_id)
        attempts = row.attempts if result.ending is Ending.AGAIN else 0
        row.release()
        row.attempts = attempts
        row.update(head=result.head or row.thread.head, updated_at=now)
        if claim.run and result.events is not None:
            self.tables.add_events(row, claim, result.events)
        if claim.run:
            self._step_taken(row, claim.run.run_id, result, now)
            self._spend(claim, result.spent, lost=False)
        else:
            _edited(row, result)
        advanced = row.advanced(now)
        if lease is None or result.start_of_next is None or self.stopped:
            return advanced
        return replace(advanced, claim=self._followed(row, claim, result, now, lease))

    def _followed(
        self, row: ThreadRow, claim: Claim, result: StepResult, now: datetime, lease: float
    ) -> Claim:
        """Take the claim on the next step."""
        assert claim.run is not None, "an edit has no next step"
        row.take(now, lease)
        row.attempts, row.events_kept = 1, row.events
        return claim.followed(
            result,
            fence=row.fence,
            told=row.events,
            by_run=self.tables.runs[claim.run.run_id].spent,
            by_thread=row.thread.spent,
        )

    async def charge(self, claim: Claim, spent: Sequence[Spent]) -> None:
        self._spend(claim, spent, lost=True)

    def _spend(self, claim: Claim, spent: Sequence[Spent], *, lost: bool) -> None:
        counted = {call.spent.call_id for call in self.tables.calls if not call.opened_at}
        fresh = {call.call_id: call for call in spent if call.call_id not in counted}
        run_id = claim.run.run_id if claim.run else ""
        others = [call for call in self.tables.calls if call.spent.call_id not in fresh]
        self.tables.calls = others + [
            Call(claim.owner, claim.thread_id, run_id, claim.seq, call, lost)
            for call in fresh.values()
        ]
        self.tables.count(claim.owner, claim.thread_id, run_id, list(fresh.values()))

    def _step_taken(self, row: ThreadRow, run_id: str, result: StepResult, now: datetime) -> None:
        row.wake_at = None
        if result.wake_in is not None:
            row.wake_at = now + timedelta(seconds=result.wake_in)
        if result.ending.completes_step:
            row.update(seq=row.thread.seq + 1)
        run = self.tables.runs[run_id]
        failures = result.failures_after(run)
        self.tables.update_run(
            run_id,
            updated_at=now,
            input_applied=run.input_applied or result.input_applied,
            stop_at=run.stop_at if result.stop_at is None else result.stop_at,
            failures=run.failures if failures is None else failures,
        )
        if result.ending.ends_run:
            self._run_ended(row, run_id, result)

    def _run_ended(self, row: ThreadRow, run_id: str, result: StepResult) -> None:
        outcome = deepcopy(result)
        status = RUN_ENDS_AS[result.ending]
        self.tables.update_run(run_id, status=status, error=outcome.error, head=row.thread.head)
        assert result.thread_status is not None, "a run ends"
        failed = result.thread_status is ThreadStatus.ERROR
        row.update(interrupts=outcome.interrupts, error=outcome.error if failed else None)
        row.next_turn(result.thread_status)


def _claim(row: ThreadRow, run: Run | None, stored: Stored | None) -> Claim:
    thread = row.thread
    return Claim(
        thread_id=thread.thread_id,
        owner=thread.owner,
        seq=thread.seq,
        fence=row.fence,
        attempts=row.attempts,
        head=thread.head,
        run=run,
        stored=stored,
        spent=thread.spent,
        told=row.events,
        rests_as=row.rests_as,
        interrupts=deepcopy(thread.interrupts) if run and not run.input_applied else {},
    )


def _to_go(run: Run) -> Run:
    """The run without the input it has taken in already."""
    if not run.input_applied:
        return run
    left = {key: value for key, value in run.kwargs.items() if key not in ("input", "command")}
    return replace(run, kwargs=left)


def _edited(row: ThreadRow, result: StepResult) -> None:
    """What an edit leaves on the thread; a run accepted meanwhile keeps it busy."""
    row.update(interrupts=deepcopy(result.interrupts), error=None)
    row.rests_as = ThreadStatus.INTERRUPTED if result.interrupts else ThreadStatus.IDLE
    if row.thread.active_run_id is None:
        row.update(status=row.rests_as)
