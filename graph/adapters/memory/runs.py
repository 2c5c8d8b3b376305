"""Runs on memory: accepted, listed, cancelled, deleted."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta

from graph.adapters.memory.shelf import ROOT
from graph.adapters.memory.tables import MemoryTables, ThreadRow
from graph.errors import Conflict
from graph.runtime.acceptance import Standing, refusal, too_many
from graph.runtime.models import (
    SKIPPED,
    Advanced,
    Created,
    NewRun,
    Run,
    RunStatus,
    StepJob,
    Thread,
    ThreadStatus,
)


@dataclass(frozen=True, slots=True)
class _Left:
    """How a thread stands when its active run is ended from outside."""

    head: str | None
    status: ThreadStatus
    as_before: bool  # nothing of the run is in its state


class MemoryRuns(MemoryTables):
    """`RunStore` on memory."""

    async def create_run(self, new: NewRun) -> Created:
        row = self._owned(new.thread_id, new.owner)
        earlier = self._earlier(new)
        if earlier:
            return Created(earlier, job=None, repeated=True)
        left = self._left(row, undo=new.undoes) if new.displaces else None
        if reason := refusal(new, self._standing(row, new, left)):
            raise reason
        now = self.clock()
        ended: tuple[str, ...] = ()
        if left is not None:
            assert row.thread.active_run_id is not None, "there is something to displace"
            ended = (row.thread.active_run_id, *row.thread.queued)
        self._must_have_room(new, 1 - len(ended))
        if left is not None:
            row.update(queued=())
            self._end(row, ended, left, undo=new.undoes)
        run = self._add(new, now)
        row.update(updated_at=now, metadata={**row.thread.metadata, **new.belongs})
        return Created(run, job=_start_or_queue(row, new, now), ended=ended)

    async def create_alone(self, new: Sequence[NewRun]) -> list[Created]:
        found = [self._earlier(each) for each in new]
        if any(found):
            return [_repeated(each, run) for each, run in zip(new, found, strict=True)]
        self._must_have_room(new[0], len(new))
        now = self.clock()
        created = []
        for each in new:
            minutes, strategy = each.thread_ttl or (None, None)
            thread = Thread(
                each.thread_id,
                each.owner,
                ThreadStatus.IDLE,
                created_at=now,
                updated_at=now,
                metadata={**deepcopy(each.thread_metadata), **each.belongs},
                ttl_minutes=minutes,
                ttl_strategy=strategy,
            )
            row = self.tables.add_thread(thread)
            run = self._add(each, now)
            created.append(Created(run, job=_start_or_queue(row, each, now)))
        return created

    def _must_have_room(self, new: NewRun, more: int) -> None:
        runs = self.tables.runs.values()
        unfinished = sum(run.owner == new.owner and not run.status.ended for run in runs)
        if new.most_unfinished and unfinished + more > new.most_unfinished:
            raise too_many(new)

    def _add(self, new: NewRun, now: datetime) -> Run:
        run = _accepted(new, now)
        self.tables.runs[run.run_id] = run
        if new.idempotency_key is not None:
            request = (new.owner, new.idempotency_key)
            self.tables.requests[request] = (new.request_hash, run.run_id)
        return deepcopy(run)

    def _earlier(self, new: NewRun) -> Run | None:
        if new.idempotency_key is None:
            return None
        found = self.tables.requests.get((new.owner, new.idempotency_key))
        if found is None:
            return None
        request_hash, run_id = found
        if request_hash != new.request_hash:
            raise Conflict(
                f"Idempotency-Key {new.idempotency_key} belongs to another request (run {run_id}):"
                " repeat that request unchanged or choose a new key"
            )
        return deepcopy(self.tables.runs[run_id])

    def _standing(self, row: ThreadRow, new: NewRun, left: _Left | None) -> Standing:
        thread, checkpoint_id = row.thread, new.kwargs.get("checkpoint_id")
        stored = self.tables.shelf(new.thread_id).stored((ROOT, checkpoint_id or ""))
        goes = left and new.undoes and stored and stored.row.metadata.get("run_id")
        return Standing(
            busy_with=None if left else thread.active_run_id,
            status=left.status if left else thread.status,
            head=left.head if left else thread.head,
            interrupts={} if left and not left.as_before else thread.interrupts,
            has_checkpoint=stored is not None and (not goes or goes != thread.active_run_id),
        )

    def _left(self, row: ThreadRow, *, undo: bool) -> _Left | None:
        """What ending the active run leaves behind; None without one."""
        run_id = row.thread.active_run_id
        if run_id is None:
            return None
        roots = [c for _, c in self.tables.shelf(row.thread.thread_id).newest_first() if not c.ns]
        others = [c.checkpoint_id for c in roots if c.metadata.get("run_id") != run_id]
        if undo:
            return _Left(next(iter(others), None), row.rests_as, as_before=True)
        as_before = len(others) == len(roots)
        return _Left(row.thread.head, row.rests_as if as_before else ThreadStatus.IDLE, as_before)

    def _end(self, row: ThreadRow, run_ids: Sequence[str], left: _Left, *, undo: bool) -> None:
        """End the active run, and others with it; the thread goes to the next, if there is one."""
        now = self.clock()
        row.release()
        row.events += SKIPPED
        row.update(seq=row.thread.seq + 1, head=left.head, updated_at=now)
        if not left.as_before:
            row.update(interrupts={}, error=None)
        self._drop_or_interrupt(row, run_ids, undo=undo)
        row.next_turn(left.status)

    def _drop_or_interrupt(self, row: ThreadRow, run_ids: Sequence[str], *, undo: bool) -> None:
        if undo:
            self.tables.shelf(row.thread.thread_id).undo(run_ids)
        for run_id in run_ids:
            if undo:
                self.tables.drop_run(run_id)
            else:
                self.tables.update_run(
                    run_id,
                    status=RunStatus.INTERRUPTED,
                    head=row.thread.head,
                    updated_at=self.clock(),
                )

    async def get_run(self, run_id: str, thread_id: str, owner: str) -> Run:
        return self._run_of(run_id, thread_id, owner)

    async def runs_by_id(self, run_ids: Sequence[str]) -> list[Run]:
        found = (self.tables.runs.get(run_id) for run_id in run_ids)
        return [deepcopy(run) for run in found if run]

    async def list_runs(
        self, thread_id: str, owner: str, *, status: RunStatus | None, limit: int, offset: int
    ) -> list[Run]:
        self._owned(thread_id, owner)
        runs = [
            run
            for run in reversed(self.tables.runs.values())
            if run.thread_id == thread_id and status in (None, run.status)
        ]
        return deepcopy(runs[offset : offset + limit])

    async def unfinished_runs(
        self,
        owner: str,
        *,
        thread_id: str | None = None,
        run_ids: Sequence[str] | None = None,
        status: RunStatus | None = None,
        limit: int,
    ) -> list[tuple[str, str]]:
        found = [
            (run.run_id, run.thread_id)
            for run in reversed(self.tables.runs.values())
            if run.owner == owner
            and not run.status.ended
            and thread_id in (None, run.thread_id)
            and (run_ids is None or run.run_id in run_ids)
            and status in (None, run.status)
        ]
        return found[:limit]

    async def cancel_run(
        self, run_id: str, thread_id: str, owner: str, *, undo: bool = False
    ) -> Advanced:
        run = self._run_of(run_id, thread_id, owner)
        if run.status.ended:
            raise Conflict(f"run {run_id} has ended already as {run.status}")
        row = self._owned(thread_id, owner)
        now = self.clock()
        if row.thread.active_run_id != run_id:
            row.update(queued=tuple(q for q in row.thread.queued if q != run_id), updated_at=now)
            self._drop_or_interrupt(row, [run_id], undo=undo)
            return Advanced(None)
        left = self._left(row, undo=undo)
        assert left is not None, "the run is active"
        self._end(row, [run_id], left, undo=undo)
        return row.advanced(now)

    async def delete_run(self, run_id: str, thread_id: str, owner: str) -> None:
        run = self._run_of(run_id, thread_id, owner)
        if not run.status.ended:
            raise Conflict(f"run {run_id} is {run.status}: cancel it or wait until it has ended")
        self.tables.drop_run(run_id)


def _repeated(new: NewRun, run: Run | None) -> Created:
    if run is None:
        raise Conflict(f"Idempotency-Key {new.idempotency_key!r} came before with another request")
    return Created(run, job=None, repeated=True)


def _accepted(new: NewRun, now: datetime) -> Run:
    return Run(
        run_id=new.run_id,
        thread_id=new.thread_id,
        owner=new.owner,
        assistant_id=new.assistant_id,
        graph_id=new.graph_id,
        status=RunStatus.PENDING,
        created_at=now,
        updated_at=now,
        metadata=deepcopy(new.metadata),
        kwargs=deepcopy(new.kwargs),
        multitask_strategy=new.multitask_strategy,
    )


def _start_or_queue(row: ThreadRow, new: NewRun, now: datetime) -> StepJob | None:
    if new.delay:
        row.due[new.run_id] = now + timedelta(seconds=new.delay)
    if row.thread.active_run_id is not None:
        row.update(queued=(*row.thread.queued, new.run_id))
        return None
    row.rests_as = row.thread.status
    row.activate(new.run_id)
    return StepJob(new.thread_id, row.thread.seq)
