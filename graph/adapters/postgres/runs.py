"""The runs' statements."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import PAYLOAD, run
from graph.errors import Conflict, NotFound
from graph.runtime.acceptance import Standing, refusal, too_many
from graph.runtime.models import (
    Advanced,
    Created,
    Json,
    NewRun,
    Run,
    RunStatus,
    StepJob,
    ThreadStatus,
)


class Runs:
    """`RunStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def create_run(self, new: NewRun) -> Created:
        while True:
            row = await self._accept(new)
            if row["run_id"] is not None:
                break
            if row["no_room"]:
                raise too_many(new)
            if not row["thread_exists"]:
                raise NotFound(f"thread {new.thread_id} does not exist")
            if reason := refusal(new, _standing(row)):
                raise reason
            # Refused for what the answer is too old to show.
        if row["repeated"]:
            return _earlier(new, row)
        mine = row["active_run_id"] == new.run_id
        job = StepJob(new.thread_id, row["seq"]) if mine else None
        return Created(run(row), job, ended=tuple(row["ended"]))

    async def create_alone(self, new: Sequence[NewRun]) -> list[Created]:
        params = {
            "owner": new[0].owner,
            "keys": [each.idempotency_key for each in new if each.idempotency_key],
            "runs": Jsonb([_alone(each) for each in new]),
            "new": len(new),
            "most": new[0].most_unfinished,
        }
        try:
            rows = await self.db.all("create_alone", params)
        except psycopg.errors.UniqueViolation:  # the same request came twice at once
            rows = await self.db.all("create_alone", params)
        if not rows:
            raise too_many(new[0])
        if not any(row["repeated"] for row in rows):
            made = {row["run_id"]: run(row) for row in rows}
            return [Created(made[n.run_id], StepJob(n.thread_id, 0)) for n in new]
        found = {row["idempotency_key"]: row for row in rows}
        return [_earlier(each, found.get(each.idempotency_key)) for each in new]

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

    async def unfinished_runs(
        self,
        owner: str,
        *,
        thread_id: str | None = None,
        run_ids: Sequence[str] | None = None,
        status: RunStatus | None = None,
        limit: int,
    ) -> list[tuple[str, str]]:
        params = {
            "owner": owner,
            "thread_id": thread_id,
            "run_ids": None if run_ids is None else list(run_ids),
            "status": status,
            "limit": limit,
        }
        rows = await self.db.all("unfinished_runs", params)
        return [(row["run_id"], row["thread_id"]) for row in rows]

    async def cancel_run(
        self, run_id: str, thread_id: str, owner: str, *, undo: bool = False
    ) -> Advanced:
        params = {**_key(run_id, thread_id, owner), "undo": undo, "cuts_short": not undo}
        while True:
            row = await self.db.one("cancel_run", params)
            if row is None:
                raise _unknown(run_id, thread_id)
            if row["cancelled"]:
                break
            if RunStatus(row["status"]).ended:
                raise Conflict(f"run {run_id} has ended already")
        if row["active_run_id"] is None or not row["displaced"]:
            return Advanced(None)
        return Advanced(StepJob(thread_id, row["seq"]), max(row["due_in"] or 0.0, 0.0))

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
    answers = new.answers
    return {
        **{name: Jsonb(value) for name, value in _stored(new).items()},
        **_key(new.run_id, new.thread_id, new.owner),
        "assistant_id": new.assistant_id,
        "graph_id": new.graph_id,
        "checkpoint_id": new.kwargs.get("checkpoint_id"),
        "resumes": new.resumes,
        "strict": new.strict,
        "answers": None if answers is None else list(answers),
        "if_match": new.if_match,
        "displaces": new.displaces,
        "undo": new.undoes,
        "cuts_short": new.displaces and not new.undoes,
        "multitask_strategy": new.multitask_strategy,
        "idempotency_key": new.idempotency_key,
        "request_hash": new.request_hash,
        "delay": new.delay,
        "most": new.most_unfinished,
    }


def _stored(new: NewRun) -> dict[str, Json]:
    return {
        "metadata": new.metadata,
        "belongs": new.belongs,
        "payload": {k: v for k, v in new.kwargs.items() if k in PAYLOAD},
        "kwargs": {k: v for k, v in new.kwargs.items() if k not in PAYLOAD},
    }


def _alone(new: NewRun) -> Json:
    minutes, strategy = new.thread_ttl or (None, None)
    return {
        **_stored(new),
        "belongs": {**new.thread_metadata, **new.belongs},
        "run_id": new.run_id,
        "thread_id": new.thread_id,
        "assistant_id": new.assistant_id,
        "graph_id": new.graph_id,
        "multitask_strategy": new.multitask_strategy,
        "idempotency_key": new.idempotency_key,
        "request_hash": new.request_hash,
        "delay": new.delay,
        "ttl_minutes": minutes,
        "ttl_strategy": strategy,
    }


def _earlier(new: NewRun, row: Mapping[str, Any] | None) -> Created:
    """The run that the same request made; raises Conflict if it was another."""
    if row is None or row["request_hash"] != new.request_hash:
        raise Conflict(f"Idempotency-Key {new.idempotency_key!r} came before with another request")
    return Created(run(row), None, repeated=True)


def _standing(row: Mapping[str, Any]) -> Standing:
    """The thread as it stood when the statement began."""
    return Standing(
        busy_with=None if row["displaced"] else row["busy_with"],
        status=ThreadStatus(row["thread_status"]),
        head=row["starts_from"],
        interrupts=row["questions"],
        has_checkpoint=row["checkpoint_exists"],
    )
