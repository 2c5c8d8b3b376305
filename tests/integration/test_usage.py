"""Usage and budgets on a real Postgres, against the server's own count."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from langgraph.graph import START, MessagesState, StateGraph

from graph.adapters.postgres import PostgresStore
from graph.llm.chat import Claude
from graph.llm.collecting import collect
from graph.runtime.call_upkeep import sweep_calls
from graph.runtime.models import RunStatus
from infra.local import message_format, messages
from infra.local.messages import MessagesServer
from tests.fixtures.crashing import Crash
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.tables import Tables
from tests.fixtures.tables import tables as tables

CEILING = Decimal("0.10")
COLUMNS = "seq, node, model, input_tokens, output_tokens, cached_tokens, usd, lost, owner"


async def think(state: MessagesState) -> None:
    await Claude().ainvoke("Go on")


def for_ever() -> Any:
    built = StateGraph(MessagesState).add_node("think", think)
    return built.add_edge(START, "think").add_edge("think", "think").compile()


def on(store: Any) -> Driver:
    """A driver of the loop over another store, with every message delivered twice."""
    driven = Driver(for_ever(), deliveries=2)
    driven.store, driven.rt = store, replace(driven.rt, store=store)
    return driven


async def test_a_loop_stops_at_its_ceiling_and_every_call_is_a_row(
    tables: Tables, database_url: str, offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Decimal] = []

    def answer(call: message_format.Call) -> dict[str, Any]:
        usage = {"input_tokens": 90_000, "output_tokens": 7_000, "cache_read_input_tokens": 500}
        counted.append(
            (90_000 * Decimal("0.10") + 7_000 * Decimal("0.50") + 500 * Decimal("0.01")) / 10**6
        )
        return message_format.answer(call) | {"model": "claude-haiku-5-5", "usage": usage}

    monkeypatch.setattr(messages, "answer", answer)
    store: Any = PostgresStore(database_url)
    driven = on(store)
    budget = {"configurable": {"budget": {"usd": float(CEILING)}}}
    run = await driven.run({"messages": [("user", "Hello")]}, config=budget)
    assert run.status is RunStatus.INTERRUPTED
    assert CEILING <= run.spent.usd < CEILING + counted[0]
    assert run.spent.usd == sum(counted)
    assert (await driven.thread()).spent == run.spent
    rows = await tables.read(f"SELECT {COLUMNS} FROM usage ORDER BY seq")
    assert rows == [
        (n, "think", "claude-haiku-5-5", 90_500, 7_000, 500, counted[0], False, OWNER)
        for n in range(len(counted))
    ]
    await store.close()


async def test_a_batch_is_collected_into_the_run_that_asked(
    tables: Tables, database_url: str, offline: MessagesServer
) -> None:
    store: Any = PostgresStore(database_url)
    driven = on(store)
    config = {"configurable": {"batch": True, "budget": {"model_calls": 1}}}
    run = await driven.ask({"messages": [("user", "Hello")]}, config=config)
    for _ in range(3):
        while job := await driven.queue.receive():
            await driven.deliver(job)
        await sweep_calls(driven.rt, collect=collect, keep_usage=86400)
    run = await store.get_run(run.run_id, driven.thread_id, OWNER)
    assert run.status is RunStatus.INTERRUPTED  # at its ceiling, after one call
    assert run.spent == (await driven.thread()).spent
    assert (run.spent.calls, len(offline.batches.made)) == (1, 1)
    assert await tables.read("SELECT node, lost, open FROM usage") == [("think", False, False)]
    await store.close()


async def test_a_killed_process_leaves_its_call_on_record(
    tables: Tables, database_url: str, offline: MessagesServer
) -> None:
    store: Any = PostgresStore(database_url)
    driven = on(store)
    died: list[str] = []

    async def cut(name: str) -> None:
        if name == "after the node's effect" and not died:
            died.append(name)
            raise Crash

    driven.rt = replace(driven.rt, cut=cut)
    budget = {"configurable": {"budget": {"model_calls": 2}}}
    run = await driven.ask({"messages": [("user", "Hello")]}, config=budget)
    job = await driven.queue.receive()
    assert job
    with pytest.raises(Crash):
        await driven.deliver(job)
    assert await tables.read("SELECT lost, open FROM usage") == [(True, True)]
    async with await psycopg.AsyncConnection.connect(tables.url) as connection:
        await connection.execute("UPDATE threads SET lease_until = NULL")
    await driven.deliver(replace(job, redelivered=True))
    while job := await driven.queue.receive():
        await driven.deliver(job)
    run = await store.get_run(run.run_id, driven.thread_id, OWNER)
    assert (run.status, run.spent.calls) == (RunStatus.INTERRUPTED, 2)
    assert offline.counts["/v1/messages"] == 2
    assert await tables.read("SELECT lost, open FROM usage ORDER BY spent_at") == [
        (True, False),
        (False, False),
    ]
    await store.close()


async def test_rows_outlive_their_thread(
    tables: Tables, database_url: str, offline: MessagesServer
) -> None:
    store: Any = PostgresStore(database_url)
    driven = on(store)
    budget = {"configurable": {"budget": {"model_calls": 2}}}
    await driven.run({"messages": [("user", "Hello")]}, config=budget)
    await store.delete_thread(driven.thread_id, OWNER)
    assert await tables.read("SELECT count(*) FROM usage WHERE thread_id = 'thread'") == [(2,)]
    await store.close()
