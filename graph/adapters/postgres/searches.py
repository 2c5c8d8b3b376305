"""What searches of all kinds have in common: a page in some order, and how many there are."""

from typing import Any

from psycopg.rows import DictRow

from graph.adapters.postgres.database import Database
from graph.runtime.models import AssistantQuery, CronQuery, ThreadQuery


async def page_of(
    db: Database, what: str, query: AssistantQuery | CronQuery | ThreadQuery, **more: Any
) -> tuple[list[DictRow], int]:
    """The rows of the page, and how many there are on all pages."""
    params = {
        **more,
        "order": f"{query.sort_by} {'desc' if query.descending else 'asc'}",
        "limit": query.limit,
        "offset": query.offset,
    }
    rows = await db.all(f"search_{what}", params)
    if rows:
        return rows, rows[0]["total"]
    row = await db.one(f"count_{what}", params)
    return [], row["total"] if row else 0
