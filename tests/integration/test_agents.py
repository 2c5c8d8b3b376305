"""The agents' tools on a real Postgres: each effect once, and never another owner's data."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel

from graph import PermanentFailure
from graph.adapters.long_term import LongTermStore
from graph.adapters.migrations import numbered
from graph.adapters.postgres import Database
from graph.adapters.store_config import store_config
from graph.agents import chat, database, documents, memories, orders, outbox, triage
from graph.agents.toolbox import Tool
from graph.runtime.models import RunStatus
from infra.local.messages import MessagesServer
from tests.fixtures.crashing import CrashingDriver
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted
from tests.fixtures.tables import Tables
from tests.fixtures.tables import tables as tables

BREACH = {"ticket": "We were hacked and data was stolen.", "sender": "bob@example.com"}


@pytest.fixture
async def memory(database_url: str) -> AsyncIterator[LongTermStore]:
    """The long-term store through the proxy."""
    store = LongTermStore(Database(database_url), store_config(None, lambda target: target))
    yield store
    await store.close()


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def answered(driven: Driver, text: str) -> str:
    run = await driven.run(say(text))
    assert run.status is RunStatus.SUCCESS, run.error
    return str((await driven.values())["messages"][-1].text)


async def test_chat_changes_an_order_once_though_every_step_crashes_and_every_message_comes_twice(
    tables: Tables, offline: MessagesServer
) -> None:
    await tables.order("A-1001")
    driven = CrashingDriver(chat.graph.compile(), deliveries=2)
    text = await answered(driven, "Cancel my order A-1001, it is late.")
    assert "A-1001 (kettle) is cancelled" in text
    assert driven.crashes == 4
    changes = await tables.read("SELECT order_id, before, after FROM order_changes")
    assert changes == [("A-1001", "placed", "cancelled")]
    assert await tables.read("SELECT status FROM orders") == [("cancelled",)]


async def test_chat_changes_several_orders_at_once_each_under_its_own_key(
    tables: Tables, scripted: list[Any]
) -> None:
    for n in range(5):
        await tables.order(f"A-{n}", status="delivered")
    blocks = [
        {
            "type": "tool_use",
            "id": f"call{n}",
            "name": "update_order",
            "input": {"order_id": f"A-{n}", "status": "returned", "reason": "Broken."},
        }
        for n in range(5)
    ]
    asked = {"content": blocks, "stop_reason": "tool_use"}
    route = {"topic": "orders"}
    scripted += [route, route, asked, asked, "All returned.", "All returned."]
    driven = CrashingDriver(chat.graph.compile(), deliveries=2)
    assert await answered(driven, "Return all five.") == "All returned."
    changes = await tables.read("SELECT order_id FROM order_changes ORDER BY order_id")
    assert changes == [(f"A-{n}",) for n in range(5)]


async def test_chat_looks_orders_up_and_finds_none_of_somebody_else(
    tables: Tables, offline: MessagesServer
) -> None:
    await tables.order("A-1", status="shipped")
    await tables.order("B-1", owner="mallory")
    assert "A-1 (kettle) is shipped" in await answered(
        Driver(chat.graph.compile()), "Where is my order A-1?"
    )
    driven = Driver(chat.graph.compile(), thread_id="other")
    assert "has no order B-1" in await answered(driven, "Cancel order B-1 now")
    assert await tables.read("SELECT status FROM orders WHERE order_id = 'B-1'") == [("placed",)]


async def test_chat_remembers_over_threads_for_one_owner(
    tables: Tables, offline: MessagesServer, memory: LongTermStore
) -> None:
    first = CrashingDriver(chat.graph.compile(), deliveries=2, long_term=memory)
    assert "I like tea" in await answered(first, "Remember that I like tea, not coffee.")
    assert await tables.read("SELECT prefix, value ->> 'text' FROM store") == [
        (f"@{OWNER}.memories", "Remember that I like tea, not coffee.")
    ]
    second = Driver(chat.graph.compile(), thread_id="later", long_term=memory)
    assert "tea, not coffee" in await answered(second, "Recall what I drink: tea or coffee")
    assert await memories.recall(memory.of("mallory"), "tea", 10) == []


async def test_a_long_result_is_kept_for_its_thread_and_owner_and_forgotten_in_time(
    tables: Tables, scripted: list[Any], memory: LongTermStore
) -> None:
    class Nothing(BaseModel):
        """Say much."""

    async def much(_: Nothing) -> str:
        return "x" * 10_000

    call = {"type": "tool_use", "id": "c1", "name": "much", "input": {}}
    scripted += [{"content": [call], "stop_reason": "tool_use"}, "Much was said."] * 2
    tool = Tool("much", Nothing, much, failed="No.")
    graph = chat.build(tools=(tool,)).compile()
    driven = Driver(graph, deliveries=2, long_term=memory)
    assert await answered(driven, "Go on.") == "Much was said."
    kept = "SELECT prefix, key, length(value ->> 'text'), ttl_minutes / 1440 FROM store"
    assert await tables.read(kept) == [(f"@{OWNER}.tool_results.thread", "c1", 10_000, 30)]
    assert await answered(driven, "Go on.") == "Much was said."
    assert len(await tables.read(kept)) == 1


async def test_chat_answers_from_the_documents(
    tables: Tables, offline: MessagesServer, tmp_path: Any
) -> None:
    (tmp_path / "lens.md").write_text("# Lens\nThe Fresnel lens bends light into one level beam.")
    await documents.index_folder(tables.url, tmp_path)
    driven = Driver(chat.graph.compile(), deliveries=2)
    assert "one level beam" in await answered(driven, "How does a Fresnel lens bend light?")


async def test_chat_goes_on_when_a_table_is_gone(tables: Tables, offline: MessagesServer) -> None:
    connection = await database.connect(tables.url)
    await connection.execute("DROP TABLE orders CASCADE")
    await connection.close()
    driven = Driver(chat.graph.compile())
    assert "orders cannot be read now" in await answered(driven, "Where is my order A-1?")


async def test_triage_sends_what_is_approved_once_though_every_step_crashes(
    tables: Tables, offline: MessagesServer
) -> None:
    driven = CrashingDriver(triage.graph.compile(), deliveries=2)
    assert (await driven.run(BREACH)).status is RunStatus.INTERRUPTED
    assert await tables.read("SELECT * FROM outbox") == []
    run = await driven.run(command={"resume": {"decision": "edit", "draft": "Call us now."}})
    assert run.status is RunStatus.SUCCESS
    assert driven.crashes >= 5
    assert await tables.read("SELECT owner, recipient, body FROM outbox") == [
        (OWNER, "bob@example.com", "Call us now.")
    ]


async def test_an_effect_key_writes_once_in_every_table(
    tables: Tables, memory: LongTermStore
) -> None:
    await tables.order("A-1")
    for _ in range(2):
        await outbox.put("a@b", "Hi", owner="owner", effect_key="k")
        await memories.remember(memory.of("owner"), "I like tea.", key="k")
        changed = await orders.change("A-1", "cancelled", "r", owner="owner", effect_key="k")
        assert changed == orders.Order("A-1", "kettle", "cancelled")
    for table in ("outbox", "order_changes"):
        assert await tables.read(f"SELECT effect_key FROM {table}") == [("k",)]
    assert await tables.read("SELECT key FROM store") == [("k",)]


@pytest.mark.parametrize(
    ("status", "after", "expected"),
    [
        ("placed", "cancelled", "cancelled"),
        ("shipped", "cancelled", "shipped"),
        ("delivered", "returned", "returned"),
        ("placed", "returned", "placed"),
        ("placed", "delivered", "placed"),
    ],
)
async def test_an_order_changes_only_as_its_status_allows(
    tables: Tables, status: str, after: orders.Status, expected: str
) -> None:
    await tables.order("A-1", status=status)
    changed = await orders.change("A-1", after, "r", owner="owner", effect_key="k")
    assert changed is not None
    assert changed.status == expected
    written = await tables.read("SELECT before, after FROM order_changes")
    assert written == ([] if status == expected else [(status, after)])


async def test_an_order_of_another_owner_does_not_exist(tables: Tables) -> None:
    await tables.order("A-1", owner="mallory")
    assert await orders.find("A-1", owner="owner") is None
    changed = await orders.change("A-1", "cancelled", "r", owner="owner", effect_key="k")
    assert changed is None
    assert await tables.read("SELECT * FROM order_changes") == []


async def test_what_shares_a_word_is_recalled_first_then_the_newest(
    tables: Tables, memory: LongTermStore
) -> None:
    mine = memory.of("owner")
    for n, fact in enumerate(["Likes tea.", "Lives in Oslo.", "Has a dog."]):
        await memories.remember(mine, fact, key=str(n))
    assert await memories.recall(mine, "which teas?", 2) == ["Likes tea.", "Has a dog."]
    assert await memories.recall(mine, "", 1) == ["Has a dog."]
    assert await memories.recall(mine, "'); --", 9) == [
        "Has a dog.",
        "Lives in Oslo.",
        "Likes tea.",
    ]


@pytest.mark.parametrize("owner", ["default", "ann@example.com", "Jörg / 100%", "a.b~c-d_e"])
async def test_what_an_older_baton_remembered_moves_to_the_long_term_store(
    tables: Tables, memory: LongTermStore, owner: str
) -> None:
    facts = "INSERT INTO memories (effect_key, owner, fact) VALUES ('t:1:a', %s, 'Likes tea.')"
    migration = next(file for file in numbered() if file.name.startswith("0014"))
    copy = migration.read_text().partition("INSERT INTO store")
    async with await psycopg.AsyncConnection.connect(tables.url) as connection:
        await connection.execute(facts, [owner])
        await connection.execute("".join(copy[1:]).encode())
    assert await memories.recall(memory.of(owner), "", 5) == ["Likes tea."]


async def test_a_missing_database_ends_the_run_clearly(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(PermanentFailure, match="DATABASE_URL"):
        await orders.find("A-1", owner="owner")
    run = await Driver(chat.graph.compile()).run(say("Where is my order A-1?"))
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert "DATABASE_URL" in run.error["message"]
