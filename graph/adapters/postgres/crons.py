"""The crons' statements; a firing is a transaction, for the run it makes is any other run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.runs import Runs
from graph.adapters.postgres.searches import page_of
from graph.errors import NotFound
from graph.runtime.models import Created, Cron, CronQuery, Firing, Json

JSON = ("metadata", "payload", "kwargs", "stamp")
PLAIN = (
    "cron_id",
    "owner",
    "assistant_id",
    "thread_id",
    "schedule",
    "timezone",
    "end_time",
    "enabled",
    "on_run_completed",
    "multitask_strategy",
    "next_run_date",
    "made_assistant",
)
READ = (*PLAIN, *JSON, "error", "created_at", "updated_at")


class Crons:
    """`CronStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def create_cron(self, cron: Cron) -> Cron:
        try:
            row = await self.db.one("create_cron", _params(cron))
        except psycopg.errors.ForeignKeyViolation as error:
            raise NotFound("the cron's thread or assistant has just been deleted") from error
        if row is None:
            raise NotFound(f"thread {cron.thread_id} does not exist")
        return _cron(row)

    async def get_cron(self, cron_id: str, owner: str) -> Cron:
        row = await self.db.one("get_cron", {"cron_id": cron_id, "owner": owner})
        if row is None:
            raise NotFound(f"cron {cron_id} does not exist")
        return _cron(row)

    async def replace_cron(self, cron: Cron, *, seen: Cron) -> Cron | None:
        moves = cron.next_run_date != seen.next_run_date
        params = {**_params(cron), "moves": moves, "seen": seen.updated_at}
        row = await self.db.one("replace_cron", params)
        return _cron(row) if row else None

    async def delete_cron(self, cron_id: str, owner: str) -> None:
        if await self.db.one("delete_cron", {"cron_id": cron_id, "owner": owner}) is None:
            raise NotFound(f"cron {cron_id} does not exist")

    async def search_crons(self, owner: str, query: CronQuery) -> tuple[list[Cron], int]:
        rows, total = await page_of(
            self.db,
            "crons",
            query,
            owner=owner,
            assistant_id=query.assistant_id,
            thread_id=query.thread_id,
            enabled=query.enabled,
            holds=Jsonb(query.metadata),
        )
        return [_cron(row) for row in rows], total

    async def due_crons(self, *, now: datetime, limit: int) -> list[Cron]:
        rows = await self.db.readable("due_crons", {"now": now, "limit": limit})
        return [_cron(row) for row in rows]

    async def fire_cron(self, firing: Firing) -> Created | None:
        async with self.db.transaction() as db:
            if firing.new.most_unfinished:
                await db.one("hold_owner", {"owner": firing.cron.owner})
            if not await _move(db, firing.cron, firing.next_run_date, None):
                return None
            if firing.cron.thread_id is not None:
                return await Runs(db).create_run(firing.new)
            (created,) = await Runs(db).create_alone([firing.new])
            return created

    async def skip_cron(self, cron: Cron, *, next_run_date: datetime | None, error: Json) -> bool:
        return await _move(self.db, cron, next_run_date, error)


async def _move(db: Database, cron: Cron, to: datetime | None, error: Json | None) -> bool:
    params = {
        "cron_id": cron.cron_id,
        "owner": cron.owner,  # whose the error is sealed as
        "thread_id": cron.thread_id,
        "due": cron.next_run_date,
        "next_run_date": to,
        "error": Jsonb(error) if error else None,
    }
    return await db.one("move_cron", params) is not None


def _cron(row: Mapping[str, Any]) -> Cron:
    return Cron(**{name: row[name] for name in READ})


def _params(cron: Cron) -> dict[str, Any]:
    plain = {name: getattr(cron, name) for name in PLAIN}
    return plain | {name: Jsonb(getattr(cron, name)) for name in JSON}
