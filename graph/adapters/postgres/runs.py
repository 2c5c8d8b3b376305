"""The runs' statements."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import PAYLOAD, run
from graph.errors import BadInput, Conflict, NotFound, UserError
from graph.runtime.models import Advanced, Created, NewRun, Run, RunStatus, StepJob

STRATEGIES = ("reject", "enqueue")


class Runs:
    """`RunStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def create_run(self, new: NewRun) -> Created:
        row = await self._accept(new)
        while row["run_id"] is None:
            if reason := _refused(new, row):
                raise reason
            row = await self._accept(new)  # refused for what the answer is too old to show
        if row["repeated"]:
            if row["request_hash"] != new.request_hash:
                raise Conflict(
                    f"Idempotency-Key {new.idempotency_key!r} came before with another request"
                )
            return Created(run(row), None, repeated=True)
        mine = row["active_run_id"] == new.run_id
        return Created(run(row), StepJob(new.thread_id, row["seq"]) if mine else None)

    async def _accept(self, new: NewRun) -> Mapping[str, Any]:
        try:
            row = await self.db.one("create_run", _params(new))
        except psycopg.errors.UniqueViolation:  # the same request came twice at once
            row = await self.db.one("create_run", _params(new))
        assert row is not None, "create_run always answers"
        return row

    async def get_run(self, run_id: str, thread_id: str, owner: str) -> Run:
        row = await self.db.one("get_run", _key(run_id, thread_id, owner))
        if row is None:
            raise _unknown(run_id, thread_id)
        return run(row)

    async def runs_by_id(self, run_ids: Sequence[str]) -> list[Run]:
        return [run(row) for row in await self.db.all("runs_by_id", {"run_ids": list(run_ids)})]

    async def list_runs(
        self, thread_id: str, owner: str, *, status: RunStatus | None, limit: int, offset: int
    ) -> list[Run]:
        params = {
            "thread_id": thread_id,
            "owner": owner,
            "status": status,
            "limit": limit,
            "offset": offset,
        }
        rows = await self.db.all("list_runs", params)
        if not rows:
            raise NotFound(f"thread {thread_id} does not exist")
        return [run(row) for row in rows if row["run_id"] is not None]

    async def cancel_run(self, run_id: str, thread_id: str, owner: str) -> Advanced:
        row = await self.db.one("cancel_run", _key(run_id, thread_id, owner))
        if row is None:
            raise _unknown(run_id, thread_id)
        if not row["cancelled"]:
            raise Conflict(f"run {run_id} has ended already")
        if row["active_run_id"] is None or not row["was_active"]:
            return Advanced(None)
        return Advanced(StepJob(thread_id, row["seq"]))

    async def delete_run(self, run_id: str, thread_id: str, owner: str) -> None:
        row = await self.db.one("delete_run", _key(run_id, thread_id, owner))
        if row is None:
            raise _unknown(run_id, thread_id)
        if not row["deleted"]:
            raise Conflict(f"run {run_id} is {row['status']}: cancel it before you delete it")


def _key(run_id: str, thread_id: str, owner: str) -> dict[str, Any]:
    return {"run_id": run_id, "thread_id": thread_id, "owner": owner}


def _unknown(run_id: str, thread_id: str) -> NotFound:
    return NotFound(f"run {run_id} does not exist on thread {thread_id}")


def _params(new: NewRun) -> dict[str, Any]:
    return {
        **_key(new.run_id, new.thread_id, new.owner),
        "assistant_id": new.assistant_id,
        "graph_id": new.graph_id,
        "metadata": Jsonb(new.metadata),
        "belongs": Jsonb(new.belongs),
        "payload": Jsonb({k: v for k, v in new.kwargs.items() if k in PAYLOAD}),
        "kwargs": Jsonb({k: v for k, v in new.kwargs.items() if k not in PAYLOAD}),
        "checkpoint_id": new.kwargs.get("checkpoint_id"),
        "resumes": "resume" in (new.kwargs.get("command") or {}),
        "multitask_strategy": new.multitask_strategy,
        "idempotency_key": new.idempotency_key,
        "request_hash": new.request_hash,
        "delay": new.delay,
    }


def _refused(new: NewRun, row: Mapping[str, Any]) -> UserError | None:
    """Why no run was made, from the thread as it stood when the statement began."""
    if not row["thread_exists"]:
        return NotFound(f"thread {new.thread_id} does not exist")
    if row["busy_with"] and new.multitask_strategy not in STRATEGIES:
        return BadInput(
            f"multitask_strategy {new.multitask_strategy!r} is not available yet: "
            f"use {' or '.join(STRATEGIES)}"
        )
    if row["busy_with"] and new.multitask_strategy == "reject":
        return Conflict(
            f"thread {new.thread_id} is busy with run {row['busy_with']}: wait for it, cancel it, "
            "or use multitask_strategy=enqueue"
        )
    if "resume" in (new.kwargs.get("command") or {}) and row["thread_status"] not in (
        "interrupted",
        "busy",
    ):
        return Conflict(f"thread {new.thread_id} waits for no answer: there is nothing to resume")
    checkpoint_id = new.kwargs.get("checkpoint_id")
    if checkpoint_id and not row["checkpoint_exists"]:
        return NotFound(f"checkpoint {checkpoint_id} does not exist on thread {new.thread_id}")
    return None
