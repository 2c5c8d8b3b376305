"""Runs on memory: accepted, listed, cancelled, deleted."""

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime

from graph.adapters.memory.shelf import ROOT
from graph.adapters.memory.tables import MemoryTables, ThreadRow
from graph.errors import BadInput, Conflict, NotFound
from graph.runtime.models import (
    Advanced,
    Created,
    NewRun,
    Run,
    RunStatus,
    StepJob,
    ThreadStatus,
)


class MemoryRuns(MemoryTables):
    """`RunStore` on memory."""

    async def create_run(self, new: NewRun) -> Created:
        row = self._owned(new.thread_id, new.owner)
        earlier = self._earlier(new)
        if earlier:
            return Created(earlier, job=None, repeated=True)
        self._refuse_unfit(row, new)
        now = self.clock()
        run = _accepted(new, now)
        self.tables.runs[run.run_id] = run
        if new.idempotency_key is not None:
            request = (new.owner, new.idempotency_key)
            self.tables.requests[request] = (new.request_hash, run.run_id)
        row.update(updated_at=now, metadata={**row.thread.metadata, **new.belongs})
        return Created(deepcopy(run), job=_start_or_queue(row, new, now))

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

    def _refuse_unfit(self, row: ThreadRow, new: NewRun) -> None:
        thread = row.thread
        checkpoint_id = new.kwargs.get("checkpoint_id")
        if checkpoint_id and not self.tables.shelf(new.thread_id).stored((ROOT, checkpoint_id)):
            raise NotFound(f"checkpoint {checkpoint_id} does not exist on thread {new.thread_id}")
        if thread.active_run_id is not None:
            _refuse_busy(new, thread.active_run_id)
        elif _resumes(new) and thread.status is not ThreadStatus.INTERRUPTED:
            raise Conflict(f"thread {new.thread_id} waits for nothing: start a run with input")

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

    async def cancel_run(self, run_id: str, thread_id: str, owner: str) -> Advanced:
        run = self._run_of(run_id, thread_id, owner)
        if run.status.ended:
            raise Conflict(f"run {run_id} has ended already as {run.status}")
        row = self._owned(thread_id, owner)
        now = self.clock()
        self.tables.update_run(
            run_id, status=RunStatus.INTERRUPTED, head=row.thread.head, updated_at=now
        )
        row.update(updated_at=now)
        if row.thread.active_run_id != run_id:
            row.update(queued=tuple(q for q in row.thread.queued if q != run_id))
            return Advanced(None)
        row.release()
        row.update(seq=row.thread.seq + 1)
        row.next_turn(ThreadStatus.IDLE)
        return row.advanced(now)

    async def delete_run(self, run_id: str, thread_id: str, owner: str) -> None:
        run = self._run_of(run_id, thread_id, owner)
        if not run.status.ended:
            raise Conflict(f"run {run_id} is {run.status}: cancel it or wait until it has ended")
        self.tables.drop_run(run_id)


def _resumes(new: NewRun) -> bool:
    return "resume" in (new.kwargs.get("command") or {})


def _refuse_busy(new: NewRun, active_run_id: str) -> None:
    if new.multitask_strategy == "reject":
        raise Conflict(
            f"thread {new.thread_id} is busy with run {active_run_id}: wait for it or cancel it"
        )
    if new.multitask_strategy != "enqueue":
        raise BadInput(
            f"multitask_strategy {new.multitask_strategy} is not available yet:"
            " use enqueue or reject"
        )


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
    if row.thread.active_run_id is not None:
        row.update(queued=(*row.thread.queued, new.run_id))
        return None
    row.activate(new.run_id)
    row.sleep(new.delay or None, now)
    return StepJob(new.thread_id, row.thread.seq)
