"""The events' statements."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.rows import event_params
from graph.errors import LostClaim
from graph.runtime.heard import Heard
from graph.runtime.models import Claim, Event, RunStatus


class Events:
    """`EventStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def tell(self, claim: Claim, events: Sequence[Event]) -> bool:
        assert claim.run is not None, "runs tell, edits do not"
        params = {
            "thread_id": claim.thread_id,
            "run_id": claim.run.run_id,
            "fence": claim.fence,
            "told": len(events),
            "owner": claim.owner,  # whose it is sealed as
            **event_params(events),
        }
        row = await self.db.one("tell", params)
        if row is None:
            raise LostClaim(f"thread {claim.thread_id} was taken over at step {claim.seq}")
        return bool(row["watched"])

    async def heard(self, after: Mapping[str, int], *, limit: int = 100) -> list[Heard]:
        params = {"run_ids": list(after), "after": list(after.values()), "limit": limit}
        rows = await self.db.all("heard", params)
        return [_heard(list(of_run)) for _, of_run in groupby(rows, lambda row: row["run_id"])]


def _heard(rows: Sequence[Mapping[str, Any]]) -> Heard:
    run = rows[0]
    return Heard(
        run_id=run["run_id"],
        status=RunStatus(run["status"]),
        error=run["error"],
        head=run["head"],
        last=run["last"],
        events=tuple(
            Event(row["name"], row["data"], row["seq"]) for row in rows if row["seq"] is not None
        ),
    )
