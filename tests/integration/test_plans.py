"""What statements read grows with what is there, not with its square."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from graph.adapters.postgres import PostgresStore
from graph.adapters.postgres.queries import query
from graph.runtime.models import Rows
from tests.contracts.builders import OWNER, blob, checkpoint, new_thread, started, step_to, take

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
    whole: float = sum(
        node["Actual Loops"] * sum(node.get(count, 0) for count in COUNTS)
        for node in nodes(found[0]["Plan"])
    )
    return whole


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
        params: dict[str, dict[str, Any]] = {
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


async def test_the_sweep_reads_only_the_threads_that_are_due(
    database_url: str, direct_url: str
) -> None:
    with psycopg.connect(direct_url) as connection:
        connection.execute(
            "INSERT INTO threads (thread_id, owner, ttl_minutes, ttl_strategy, updated_at)"
            " SELECT 'thread ' || n, 'owner', 60, 'delete', clock_timestamp() - CASE"
            "        WHEN n <= 20 THEN interval '2 hours' ELSE interval '1 minute' END"
            "   FROM generate_series(1, 3000) n"
        )
    store = PostgresStore(database_url)
    assert rows_read(direct_url, "expire_threads", {"limit": 10, "now": None}) < 100
    assert [await store.expire_threads(limit=15) for _ in range(3)] == [15, 5, 0]
    await store.close()


async def kept_in_place(store: PostgresStore) -> int:
    """How many updates of threads no index has heard of."""
    connection = await store.db.connection()
    await connection.execute("SELECT pg_stat_force_next_flush()")
    found = await connection.execute(
        "SELECT pg_stat_get_tuples_hot_updated('threads'::regclass) AS n"
    )
    return int((await found.fetchone() or {"n": 0})["n"])


async def test_a_step_writes_to_no_index_of_its_thread(direct_url: str) -> None:
    store = PostgresStore(direct_url)
    thread_id = await new_thread(store, ttl_minutes=60.0, ttl_strategy="delete")
    _, job = await started(store, thread_id)
    before = await kept_in_place(store)
    for n in range(5):
        advanced = await store.advance(await take(store, job), step_to(f"c{n}"))
        assert advanced.next_job is not None
        job = advanced.next_job
    assert await kept_in_place(store) - before == 10
    await store.close()
