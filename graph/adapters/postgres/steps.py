"""The step protocol's statements."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from graph.adapters.postgres.arrays import Ints, Texts
from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import (
    by_place,
    event_params,
    newest_root,
    row_params,
    run,
    spent_params,
    stored,
)
from graph.errors import Conflict, KeyMissing, LostClaim, NotFound, Tampered, Unavailable
from graph.runtime.models import (
    Advanced,
    Claim,
    Ending,
    Refusal,
    Rows,
    RunStatus,
    StepJob,
    StepResult,
    ThreadStatus,
    Verdict,
)
from graph.usage import Spent, Totals

log = logging.getLogger("baton.step")

NOTHING_SPENT = {"spent": None, "calls": 0, "tokens": 0, "usd": 0, "tool_calls": 0}
NO_EVENTS = {"e_name": None, "e_data": None}
UNOPENED_WAITS = 60.0  # seconds that a thread rests whose state no key here opens


class Steps:
    """`StepStore` in Postgres."""

    stopped: bool = False

    def __init__(self, db: Database) -> None:
        self.db = db

    async def claim(
        self,
        jobs: Sequence[tuple[StepJob, str | None]],
        *,
        lease: float,
        now: datetime | None = None,
    ) -> list[Claim | Refusal]:
        params = {
            "threads": Texts(job.thread_id for job, _ in jobs),
            "seqs": Ints(job.seq for job, _ in jobs),
            "cached": Texts(cached for _, cached in jobs),
            "lease": lease,
            "stopped": self.stopped,
            "now": now,
        }
        rows = by_place(await self.db.closed("claim", params))
        return [await self._answer(job, rows.get(place)) for place, (job, _) in enumerate(jobs, 1)]

    async def _answer(self, job: StepJob, row: dict[str, Any] | None) -> Claim | Refusal:
        if row is None:
            return Refusal(Verdict.GONE)
        if row["fence"] is None:
            return self._refusal(job, row)
        try:
            return _claim(job, self.db.opened(row, {}))
        except (KeyMissing, Tampered) as error:  # it waits, and dies of it no more than others do
            log.error("thread %s cannot be stepped: %s", job.thread_id, error)
            params = {"thread_id": job.thread_id, "fence": row["fence"], "wait": UNOPENED_WAITS}
            await self.db.all("give_back", params)
            due_in = UNOPENED_WAITS
            return Refusal(Verdict.ASLEEP, job.seq, True, due_in=due_in, owner=row["owner"])

    def _refusal(self, job: StepJob, row: Mapping[str, Any]) -> Refusal:
        leased_for, due_in = (
            (time - row["now"]).total_seconds() if time else 0.0
            for time in (row["lease_until"], row["wake_at"])
        )
        if job.seq > row["seq"]:
            verdict = Verdict.EARLY
        elif job.seq < row["seq"] or not row["active"]:
            verdict = Verdict.DUPLICATE
        elif leased_for > 0:
            verdict = Verdict.BUSY
        elif due_in > 0:
            verdict = Verdict.ASLEEP
        elif self.stopped:
            verdict = Verdict.STOPPED
        else:  # it was claimed, or came, in this very moment
            verdict = Verdict.BUSY
        leased_for, due_in = max(leased_for, 0.0), max(due_in, 0.0)
        return Refusal(verdict, row["seq"], row["active"], leased_for, due_in, row["owner"])

    async def hold(self, thread_id: str, owner: str, *, lease: float) -> Claim:
        row = await self.db.one("hold", {"thread_id": thread_id, "owner": owner, "lease": lease})
        if row is None:
            raise NotFound(f"thread {thread_id} does not exist")
        if row["fence"] is None:
            doing = f"run {row['active_run_id']}" if row["active_run_id"] else "another edit"
            raise Conflict(f"thread {thread_id} is busy with {doing}: wait for it or cancel it")
        return Claim(thread_id, owner, row["seq"], row["fence"], 1, row["head"], None, None)

    async def release(self, claim: Claim) -> Advanced:
        params = {"thread_id": claim.thread_id, "fence": claim.fence}
        row = await self.db.one("release", params)
        if row is None or not row["active"]:
            return Advanced(None)
        return Advanced(StepJob(claim.thread_id, row["seq"]), max(row["due_in"] or 0.0, 0.0))

    async def save(self, claim: Claim, rows: Rows, *, input_applied: bool) -> None:
        params = {
            "thread_id": claim.thread_id,
            "fence": claim.fence,
            "head": newest_root(rows),
            "input_applied": input_applied,
            "owner": claim.owner,  # whose it is sealed as
            **row_params(rows, run_id=claim.run.run_id if claim.run else None),
        }
        with _list_unforked(claim):
            saved = await self.db.one("save", params)
        if saved is None:
            raise LostClaim(f"thread {claim.thread_id} was taken over at step {claim.seq}")

    async def advance(
        self, claim: Claim, result: StepResult, *, lease: float | None = None
    ) -> Advanced:
        params = _result_params(claim, result)
        if lease is not None and result.start_of_next and not self.stopped:
            params["lease"] = lease
        with _list_unforked(claim):
            row = await self.db.one("advance", params)
        if row is None:
            raise LostClaim(f"thread {claim.thread_id} was taken over at step {claim.seq}")
        if not row["active"]:
            return Advanced(None, watched=row["watched"])
        job, delay = StepJob(claim.thread_id, row["next_seq"]), max(row["due_in"] or 0.0, 0.0)
        return Advanced(job, delay, row["watched"], _followed(claim, result, row))

    async def charge(self, claim: Claim, spent: Sequence[Spent]) -> None:
        params = {
            "thread_id": claim.thread_id,
            "owner": claim.owner,
            "run_id": claim.run.run_id if claim.run else "",
            "seq": claim.seq,
            **spent_params(spent),
        }
        await self.db.all("charge", params)


@contextlib.contextmanager
def _list_unforked(claim: Claim) -> Iterator[None]:
    """A list that somebody else went on with is read anew: the message comes again."""
    try:
        yield
    except UniqueViolation as error:
        raise Unavailable(f"items of {claim.thread_id} are there already") from error


def _result_params(claim: Claim, result: StepResult) -> dict[str, Any]:
    """The parameters of `advance`, but for a lease."""
    ending, run = result.ending, claim.run
    ends = run is not None and ending.ends_run
    edit_status = ThreadStatus.INTERRUPTED if result.interrupts else ThreadStatus.IDLE
    return {
        "thread_id": claim.thread_id,
        "fence": claim.fence,
        "owner": claim.owner,
        "seq": claim.seq,
        "lease": None,
        "steps": int(run is not None and ending.completes_step),
        "ends": ends,
        "edits": run is None,
        "again": ending is Ending.AGAIN,
        "head": result.head,
        "input_applied": result.input_applied and not (run and run.input_applied),
        "stop_at": result.stop_at,
        "run_status": ending.run_status,
        "thread_status": result.thread_status if run else edit_status,
        "wake_in": result.wake_in,
        "interrupts": Jsonb(result.interrupts) if ends or run is None else None,
        "error": Jsonb(result.error) if result.error else None,
        "failures": result.failures_after(run),
        **(spent_params(result.spent) if result.spent else NOTHING_SPENT),
        **row_params(result.rows, run_id=run.run_id if run else None),
        **(NO_EVENTS if result.events is None else event_params(result.events)),
    }


def _followed(claim: Claim, result: StepResult, row: Mapping[str, Any]) -> Claim | None:
    """The claim that was taken with a save."""
    if row["next_fence"] is None:
        return None
    by_run, by_thread = (
        Totals(*(row[f"{whose}_{what}"] for what in ("calls", "tokens", "usd", "tool_calls")))
        for whose in ("run", "thread")
    )
    return claim.followed(
        result, fence=row["next_fence"], told=row["told"], by_run=by_run, by_thread=by_thread
    )


def _claim(job: StepJob, row: Mapping[str, Any]) -> Claim:
    run_row = {
        **row,
        "thread_id": job.thread_id,
        "status": RunStatus.RUNNING,
        "metadata": row["run_metadata"],
        "head": None,
        "error": None,
    }
    return Claim(
        thread_id=job.thread_id,
        owner=row["owner"],
        seq=job.seq,
        fence=row["fence"],
        attempts=row["attempts"],
        head=row["thread_head"],
        run=run(run_row),
        stored=stored(row),
        spent=Totals(
            row["thread_calls"], row["thread_tokens"], row["thread_usd"], row["thread_tool_calls"]
        ),
        told=row["told"],
        rests_as=ThreadStatus(row["rests_as"] or ThreadStatus.IDLE),
        interrupts=row["interrupts"] or {},
    )
