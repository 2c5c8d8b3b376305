"""Usage and budgets on a real Postgres, against the server's own count."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

from graph.adapters.postgres import PostgresStore
from graph.llm import claude
from graph.runtime.models import RunStatus
from infra.local import message_format, messages
from infra.local.messages import MessagesServer
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.tables import Tables
from tests.fixtures.tables import tables as tables

CEILING = Decimal("0.10")
COLUMNS = "seq, node, model, input_tokens, output_tokens, cached_tokens, usd, lost, owner"


async def think(state: MessagesState) -> None:
    await claude.write("Go on", system="Be brief.", on_text=lambda _: None)


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
