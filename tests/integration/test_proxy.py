"""The step through a transaction-pooling proxy: two round trips, nothing pinned, nothing lost."""

import asyncio
import contextlib
import operator
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from langgraph.graph import END, START, StateGraph
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from graph.adapters.memory import MemoryQueue
from graph.adapters.postgres import PostgresStore
from graph.adapters.postgres.queries import queries
from graph.adapters.postgres.rows import row_params
from graph.errors import Unavailable
from graph.runtime.engine import Runtime
from graph.runtime.models import (
    NO_ROWS,
    Claim,
    NewRun,
    RunStatus,
    StepJob,
    Thread,
    ThreadStatus,
)
from graph.runtime.step import step
from tests.contracts.builders import claim_one
from tests.fixtures.driver import OWNER, Loaded
from tests.fixtures.tap import Tap

STEPS = 10
CLIENTS = 8


class State(TypedDict):
    log: Annotated[list[int], operator.add]
    text: str


def count(state: State) -> Any:
    return {"log": [len(state["log"])]}


GRAPH = StateGraph(State).add_node("count", count).add_edge(START, "count")
GRAPH.add_conditional_edges("count", lambda s: "count" if len(s["log"]) < STEPS else END)
GRAPHS = Loaded({"graph": GRAPH.compile()})


async def new_run(store: PostgresStore, name: str, **asked: Any) -> StepJob:
    now = datetime.now(UTC)
    await store.create_thread(Thread(name, OWNER, ThreadStatus.IDLE, now, now))
    given = {"input": {"log": [], "text": "x" * 2000}, **asked}
    created = await store.create_run(NewRun(f"run-{name}", name, OWNER, "graph", "graph", given))
    assert created.job is not None
    return created.job


@pytest.fixture
async def tap(database_url: str) -> AsyncIterator[Tap]:
    async with Tap(int(str(conninfo_to_dict(database_url)["port"]))) as between:
        yield between


@pytest.fixture
async def store(database_url: str, tap: Tap) -> AsyncIterator[PostgresStore]:
    tapped = PostgresStore(make_conninfo(database_url, port=tap.port))
    yield tapped
    await tapped.close()


@pytest.mark.parametrize("asked", [{}, {"stream_mode": ["values", "updates"]}], ids=str)
async def test_a_single_task_step_takes_two_round_trips(
    store: PostgresStore, tap: Tap, asked: dict[str, Any]
) -> None:
    rt = Runtime(store, queue := MemoryQueue(), GRAPHS)
    job: StepJob | None = await new_run(store, "t", **asked)
    trips = []
    while job:
        before = tap.round_trips
        await step(job, rt, time_left=20)
        trips.append(tap.round_trips - before)
        job = await queue.receive()
    print(f"round trips per step: {trips}")
    assert trips == [2] * STEPS


async def test_eight_clients_share_two_connections_and_every_step_succeeds(
    database_url: str, direct_url: str
) -> None:
    async def client(number: int) -> list[str]:
        store = PostgresStore(database_url)
        rt = Runtime(store, queue := MemoryQueue(), GRAPHS)
        job: StepJob | None = await new_run(store, f"thread-{number}")
        outcomes = []
        while job:
            outcomes.append(await step(job, rt, time_left=20))
            job = await queue.receive()
        run = await store.get_run(f"run-thread-{number}", f"thread-{number}", OWNER)
        await store.close()
        assert run.status is RunStatus.SUCCESS
        return outcomes

    all_outcomes = await asyncio.gather(*(client(n) for n in range(CLIENTS)))

    with psycopg.connect(direct_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        ).fetchone()
    assert row is not None
    steps = sum(len(outcomes) for outcomes in all_outcomes)
    print(f"{CLIENTS} clients, {row[0]} server connections, {steps} of {CLIENTS * STEPS} steps")
    assert row[0] <= 2
    assert all(o == ["more"] * (STEPS - 1) + ["done"] for o in all_outcomes)


@contextlib.contextmanager
def held_up(store: PostgresStore, job: StepJob, direct_url: str) -> Iterator[Any]:
    """A claim that waits for a lock, and the connection that has it."""
    with psycopg.connect(direct_url) as blocker:
        blocker.execute("SELECT * FROM threads FOR UPDATE")
        yield asyncio.create_task(claim_one(store, job, lease=10)), blocker


async def test_a_connection_that_died_while_idle_is_replaced_unseen(
    store: PostgresStore, tap: Tap
) -> None:
    await new_run(store, "before")
    tap.hang_up()
    await asyncio.sleep(0.05)  # the goodbye travels
    await new_run(store, "after")
    assert (await store.get_thread("after", OWNER)).thread_id == "after"


async def test_a_connection_that_dies_under_a_statement_is_unavailable_then_replaced(
    store: PostgresStore, direct_url: str
) -> None:
    job = await new_run(store, "t")
    with held_up(store, job, direct_url) as (stuck, blocker):
        await asyncio.sleep(0.2)
        blocker.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        with pytest.raises(Unavailable, match="Postgres failed in claim"):
            await stuck
    assert await claim_one(store, job, lease=10)


async def test_statements_that_are_run_at_once_each_get_their_own_rows(
    store: PostgresStore,
) -> None:
    names = [f"t{number}" for number in range(20)]
    await asyncio.gather(*map(partial(new_run, store), names))
    found = await asyncio.gather(*(store.get_thread(name, OWNER) for name in names))
    assert [thread.thread_id for thread in found] == names


async def test_after_a_statement_that_was_given_up_the_next_gets_its_own_rows(
    store: PostgresStore, direct_url: str
) -> None:
    job = await new_run(store, "t")
    with held_up(store, job, direct_url) as (stuck, _):
        await asyncio.sleep(0.1)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert (await store.get_thread("t", OWNER)).thread_id == "t"
    assert isinstance(await claim_one(store, job, lease=10), Claim)


async def test_a_primary_that_became_a_replica_is_unavailable_and_left(
    direct_url: str,
) -> None:
    store = PostgresStore(direct_url)
    job = await new_run(store, "t")
    name = conninfo_to_dict(direct_url)["dbname"]
    with psycopg.connect(direct_url, autocommit=True) as admin:
        connection = await store.db.connection()
        await connection.execute("SET default_transaction_read_only = on")  # as after a failover
        with pytest.raises(Unavailable, match="takes no writes in claim"):
            await claim_one(store, job, lease=10)
        assert isinstance(await claim_one(store, job, lease=10), Claim)
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await store.close()
    with pytest.raises(Unavailable, match="takes no writes"):
        async with store.db.transaction() as beside:
            await beside.all("put", {"thread_id": "x", "head": None, **row_params(NO_ROWS)})
    await store.close()


def test_no_statement_pins_a_proxied_session() -> None:
    pins = re.compile(r"\b(SET|set_config|PREPARE|LISTEN|nextval|TEMP|pg_advisory\w*|CURSOR)\b")
    for name, (text, _) in queries().items():
        statement = re.sub(r"\bUPDATE\b.*?\bSET\b", "", text, flags=re.DOTALL)
        assert not pins.search(statement), name
        assert len(text) < 16_000, name


async def test_without_a_proxy_statements_may_be_prepared(direct_url: str) -> None:
    store = PostgresStore(direct_url, prepares=True)
    rt = Runtime(store, queue := MemoryQueue(), GRAPHS)
    job: StepJob | None = await new_run(store, "t")
    while job:
        await step(job, rt, time_left=20)
        job = await queue.receive()
    run = await store.get_run("run-t", "t", OWNER)
    await store.close()
    assert run.status is RunStatus.SUCCESS
