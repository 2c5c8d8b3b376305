"""What statements read grows with what is there, not with its square."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from graph.adapters.postgres import PostgresStore
from graph.adapters.postgres.queries import query
from graph.runtime.models import Rows
from tests.contracts.builders import OWNER, blob, checkpoint, started, take

COUNTS = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_read(direct_url: str, name: str, params: dict[str, Any]) -> float:
    """How many rows all parts of the statement's plan came by; it is not carried out."""
    with psycopg.connect(direct_url) as connection:
        connection.execute("ANALYZE")
        explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + query(name, params)
        (found,) = connection.execute(explain, params).fetchone() or ([],)
        connection.rollback()
    return sum(
        node["Actual Loops"] * sum(node.get(count, 0) for count in COUNTS)
        for node in nodes(found[0]["Plan"])
    )


async def long_thread(store: PostgresStore, length: int) -> tuple[str, str]:
    """A thread and its active run, which made half of its checkpoints, each with its own value."""
    run, job = await started(store)
    await take(store, job)
    values = [blob(f"{run.thread_id} {n}") for n in range(length)]
    made_by = [{"source": "loop", "run_id": run.run_id if n % 2 else ""} for n in range(length)]
    rows = tuple(
        checkpoint(f"c{n:05}", metadata=metadata, blob_ids=(value.blob_id,))
        for n, (metadata, value) in enumerate(zip(made_by, values, strict=True))
    )
    await store.put(run.thread_id, Rows(rows, tuple(values)))
    return run.thread_id, run.run_id


@pytest.mark.parametrize("name", ["delete_checkpoints", "cancel_run"])
async def test_values_that_nothing_needs_are_found_in_one_pass(
    name: str, database_url: str, direct_url: str
) -> None:
    store = PostgresStore(database_url)
    read = []
    for length in (750, 3000):
        thread_id, run_id = await long_thread(store, length)
        params = {
            "delete_checkpoints": {"thread_id": None, "run_ids": [run_id]},
            "cancel_run": {
                "thread_id": thread_id,
                "run_id": run_id,
                "owner": OWNER,
                "undo": True,
            },
        }
        read.append(rows_read(direct_url, name, params[name]))
    await store.close()
    assert read[1] < 8 * read[0]
