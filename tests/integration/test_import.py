"""`baton import` from the tables that LangGraph's own AsyncPostgresSaver wrote."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row

from functions.api.access.callers import DEFAULT
from graph.adapters.postgres import PostgresStore
from graph.adapters.registry import Registry
from graph.runtime.checkpoints import Checkpoints, bound, config_of
from infra.local.import_threads import target_id
from tests.fixtures.postgres import Server, database
from tests.fixtures.service import Service, service

PROJECT = Path(__file__).parents[1] / "fixtures" / "projects" / "imported"
GRAPH, FAILS = (
    Registry(PROJECT / "langgraph.json").named(f"./shapes.py:{name}") for name in ("graph", "FAILS")
)
BATON = "from infra.local.cli import main; main()"
OWNER = DEFAULT  # whom an API without keys serves
TURNS = 150  # of two messages


@dataclass
class Stock:
    """A database in which stock LangGraph has kept threads of every shape."""

    url: str
    ids: dict[str, str]

    @property
    def targets(self) -> dict[str, str]:
        return {shape: target_id(thread_id) for shape, thread_id in self.ids.items()}


@pytest.fixture(scope="module")
def stock(postgres_server: Server) -> Iterator[Stock]:
    with database(postgres_server, "template0") as name:
        made = Stock(postgres_server.url(name), {})
        asyncio.run(_converse(made))
        yield made


async def _converse(stock: Stock) -> None:
    connection = await psycopg.AsyncConnection.connect(
        stock.url, autocommit=True, row_factory=dict_row
    )
    async with connection:
        saver: Any = AsyncPostgresSaver(connection)  # numbers versions by text
        await saver.setup()
        graph = bound(GRAPH, saver)
        for shape in ("chat", "ask", "nested", "fan"):
            stock.ids[shape] = str(uuid4())
        stock.ids["named"] = "user-42"
        for shape, thread_id in stock.ids.items():
            todo = "chat" if shape == "named" else shape
            for turn in range(TURNS if shape == "chat" else 3):
                FAILS[:] = [True] * (shape == "fan")
                said = [{"type": "human", "content": "x" * 200, "id": f"said-{turn}"}]
                given = {"todo": "chat" if shape != "chat" and turn < 2 else todo, "messages": said}
                try:
                    await graph.ainvoke(given, config_of(thread_id, "", None))
                except ValueError:
                    assert shape == "fan"
        FAILS.clear()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(database_url)
    yield opened
    await opened.close()


def baton(stock: Stock, database_url: str, *more: str) -> "subprocess.Popen[str]":
    said = ["import", "--from", stock.url, "--owner", OWNER, "--database-url", database_url]
    said += ["--config", str(PROJECT / "langgraph.json"), "--json", *more]
    return subprocess.Popen(
        [sys.executable, "-c", BATON, *said],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("LANGGRAPH")},
    )


def finished(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    """The exit status and what became of each thread, by its id at the source."""
    out, err = process.communicate(timeout=120)
    assert out, err
    return process.returncode, {t["thread_id"]: t for t in json.loads(out)["threads"]}


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


async def test_what_was_killed_goes_on_and_nothing_is_doubled(
    stock: Stock, database_url: str, direct_url: str, store: PostgresStore
) -> None:
    killed = baton(stock, database_url, "--graph", "shapes", "--batch", "3")
    while count(direct_url, "checkpoints") < 100:
        assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    seen = {thread_id for thread_id, _ in await store.history(None, None)}
    owned = [t for t in seen if (await owner(direct_url, t)) == OWNER]
    assert len(owned) < len(stock.ids)  # a thread that is not whole is nobody's

    status, found = finished(baton(stock, database_url, "--graph", "shapes"))

    assert status == 0, found
    assert set(found) == set(stock.ids.values())
    assert {t["outcome"] for t in found.values()} <= {"copied", "there already"}
    assert count(direct_url, "checkpoints") == count(stock.url, "checkpoints")
    assert count(direct_url, "writes") == count(stock.url, "checkpoint_writes")
    await must_be_equal(stock, store)
    before = [count(direct_url, table) for table in ("checkpoints", "items", "blobs", "writes")]
    status, found = finished(baton(stock, database_url, "--graph", "shapes"))
    assert (status, {t["outcome"] for t in found.values()}) == (0, {"there already"})
    assert before == [
        count(direct_url, table) for table in ("checkpoints", "items", "blobs", "writes")
    ]
    await go_on(stock, store)


async def owner(url: str, thread_id: str) -> str:
    connection = await psycopg.AsyncConnection.connect(url)
    async with connection:
        cursor = await connection.execute(
            "SELECT owner FROM threads WHERE thread_id = %s", [thread_id]
        )
        (found,) = await cursor.fetchone() or ("",)
        return str(found)


async def must_be_equal(stock: Stock, store: PostgresStore) -> None:
    """LangGraph sees the same states, tasks and questions through both savers."""
    async with AsyncPostgresSaver.from_conn_string(stock.url) as saver:
        there = bound(GRAPH, saver)
        here = bound(GRAPH, Checkpoints(store))
        for shape, thread_id in stock.ids.items():
            states = []
            for graph, at in ((there, thread_id), (here, stock.targets[shape])):
                history = [s async for s in graph.aget_state_history(config_of(at, "", None))]
                states.append([(s.values, s.next, s.interrupts, tasks(s)) for s in history])
            assert states[0] == states[1], shape
            assert len(states[0]) > 3


def tasks(state: Any) -> list[Any]:
    return [(t.id, t.name, t.path, repr(t.error), t.interrupts, t.result) for t in state.tasks]


async def go_on(stock: Stock, store: PostgresStore) -> None:
    """Through the API the threads are as if they had always been here."""
    api = service(store, more_graphs={"shapes": GRAPH})
    async with api.http:
        ids = stock.targets
        assert str(UUID(ids["named"])) == ids["named"]
        thread = await api.call("GET", f"/threads/{ids['named']}")
        assert thread["metadata"]["imported"]["thread_id"] == "user-42"
        assert thread["metadata"]["graph_id"] == "shapes"
        found = await api.call("POST", "/threads/search", {"metadata": {"graph_id": "shapes"}})
        assert {t["thread_id"] for t in found} == set(ids.values())
        assert {shape: (await status(api, ids[shape])) for shape in ids} == {
            "chat": "idle",
            "ask": "interrupted",
            "nested": "interrupted",
            "fan": "error",
            "named": "idle",
        }
        for shape in ("ask", "nested"):
            await api.ran("shapes", ids[shape], command={"resume": "yes"})
            assert (await messages(api, ids[shape]))[-1] == "told yes"
        await api.ran("shapes", ids["fan"])  # the one that failed is run, its siblings are not
        said = await messages(api, ids["fan"])
        assert [m for m in said if m.startswith("worked")] == ["worked 0", "worked 1", "worked 2"]
        more = [{"type": "human", "content": "more", "id": "more"}]
        await api.ran("shapes", ids["chat"], input={"todo": "chat", "messages": more})
        assert len(await messages(api, ids["chat"])) == 2 * TURNS + 2


async def status(api: Service, thread_id: str) -> str:
    return str((await api.call("GET", f"/threads/{thread_id}"))["status"])


async def messages(api: Service, thread_id: str) -> list[str]:
    state = await api.call("GET", f"/threads/{thread_id}/state")
    return [m["content"] for m in state["values"]["messages"]]


async def test_two_imports_at_once_make_one_thread(
    stock: Stock, database_url: str, direct_url: str
) -> None:
    only = ("--graph", "shapes", "--thread", stock.ids["nested"], "--batch", "1")
    both = [baton(stock, database_url, *only) for _ in range(2)]
    for process in both:
        _, found = finished(process)
        assert "Traceback" not in found[stock.ids["nested"]]["said"]
    status, found = finished(baton(stock, database_url, *only))
    assert (status, found[stock.ids["nested"]]["outcome"]) in ((0, "there already"), (0, "copied"))
    with psycopg.connect(stock.url) as connection:
        asked = "SELECT count(*) FROM checkpoints WHERE thread_id = %s"
        there = connection.execute(asked, [stock.ids["nested"]]).fetchone()
    assert there == (count(direct_url, "checkpoints"),)


async def test_a_dry_run_writes_nothing_and_names_what_is_not_allowed(
    stock: Stock, database_url: str, direct_url: str
) -> None:
    status, found = finished(baton(stock, database_url, "--graph", "plain", "--dry-run"))
    assert (status, count(direct_url, "threads")) == (1, 0)
    said = found[stock.ids["chat"]]["said"]
    assert "shapes.Order" in said
    assert "allowed_msgpack_modules" in said
    assert found[stock.ids["ask"]]["checkpoints"] > 3
    status, found = finished(baton(stock, database_url, "--graph", "shapes", "--dry-run"))
    assert (status, count(direct_url, "threads")) == (0, 0)
    assert {t["outcome"] for t in found.values()} == {"would be copied"}


async def test_types_that_are_not_allowed_are_not_copied(
    stock: Stock, database_url: str, direct_url: str
) -> None:
    only = ("--graph", "plain", "--thread", stock.ids["chat"])
    status, found = finished(baton(stock, database_url, *only))
    (copied,) = found.values()
    assert (status, copied["outcome"]) == (1, "failed")
    assert "shapes.Order" in copied["said"]
    assert await owner(direct_url, stock.targets["chat"]) == ""


async def test_a_thread_of_batons_own_is_left_alone(
    stock: Stock, database_url: str, direct_url: str
) -> None:
    with psycopg.connect(direct_url) as connection:
        connection.execute(
            "INSERT INTO threads (thread_id, owner) VALUES (%s, 'ada')", [stock.targets["ask"]]
        )
    only = ("--graph", "shapes", "--thread", stock.ids["ask"])
    status, found = finished(baton(stock, database_url, *only))
    assert (status, found[stock.ids["ask"]]["outcome"]) == (1, "failed")
    assert "of its own" in found[stock.ids["ask"]]["said"]
    assert await owner(direct_url, stock.targets["ask"]) == "ada"
    assert count(direct_url, "checkpoints") == 0


async def test_a_copy_that_reads_differently_is_told_of_and_nobodys(
    stock: Stock, database_url: str, direct_url: str
) -> None:
    only = ("--graph", "shapes", "--thread", stock.ids["ask"])
    killed = baton(stock, database_url, *only, "--batch", "1")
    while count(direct_url, "checkpoints") < 3:
        assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    with psycopg.connect(direct_url) as connection:  # somebody tampers with what is there
        connection.execute("UPDATE checkpoints SET metadata = metadata || '{\"step\": 99}'")
    status, found = finished(baton(stock, database_url, *only))
    assert (status, found[stock.ids["ask"]]["outcome"]) == (1, "failed")
    assert "reads differently" in found[stock.ids["ask"]]["said"]
    assert await owner(direct_url, stock.targets["ask"]) == ""


async def test_a_database_without_the_tables_is_said_to_be_one(
    stock: Stock, postgres_server: Server, database_url: str
) -> None:
    with database(postgres_server, "template0") as name:
        empty = Stock(postgres_server.url(name), {})
        process = await asyncio.to_thread(baton, empty, database_url, "--graph", "shapes")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "no tables of LangGraph" in err
