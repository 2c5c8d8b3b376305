"""Steps taken again from what was recorded: in memory, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from graph import effect_key
from graph.adapters.postgres import PostgresStore
from graph.adapters.registry import Registry
from graph.errors import BadInput, NotFound
from graph.llm.chat import Claude
from graph.llm.tokens import count
from graph.runtime.checkpoints import strict_serializer
from graph.runtime.models import RunStatus
from graph.runtime.recorder import calls_of
from infra.local import message_format, messages
from infra.local.cli import main
from infra.local.messages import MessagesServer
from infra.local.replay import Replayer
from infra.local.replay_command import document
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline

PROJECT = Path(__file__).parents[1] / "fixtures" / "projects" / "taped" / "langgraph.json"
Parrot, SAID, GRAPH, SHOUTS = (
    Registry(PROJECT).named(f"./taped.py:{name}") for name in ("Parrot", "SAID", "graph", "shouts")
)
HELLO = {"messages": [{"type": "human", "content": "Hello", "id": "hello"}]}
RECORD = {"config": {"configurable": {"record": True}}}


def one(node: Any) -> Any:
    return StateGraph(MessagesState).add_node("think", node).add_edge(START, "think").compile()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    SAID.clear()
    opened = PostgresStore(database_url)
    yield opened
    await opened.close()


def driver(store: PostgresStore, graph: Any) -> Driver:
    made = Driver(graph)
    made.move_to(store)
    return made


def replayer(made: Driver, store: PostgresStore, graph: Any = None) -> Replayer:
    if graph is not None:
        made.deploy(graph)
    return Replayer(store, made.rt.graphs)


async def everything(direct_url: str) -> list[Any]:
    """All that the database holds of threads."""
    connection = await psycopg.AsyncConnection.connect(direct_url)
    async with connection:
        found: list[Any] = []
        for table in ("threads", "runs", "checkpoints", "blobs", "items", "writes", "usage"):
            cursor = await connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            found.append(sorted(map(str, await cursor.fetchall())))
        return found


async def test_a_recorded_step_comes_out_the_same_and_asks_no_model(
    store: PostgresStore, direct_url: str
) -> None:
    made = driver(store, GRAPH)
    await made.run(HELLO, **RECORD)
    before = await everything(direct_url)

    found = document(await replayer(made, store).replay("thread", None, live=False))

    assert found["same"], "\n".join(found["differences"])
    assert found["now"]["values"]["messages"][-1]["content"] == "Hello, 0"
    assert (found["answered_from_record"], found["spent"]["model_calls"]) == (1, 0)
    assert SAID == ["Hello, 0"]
    assert await everything(direct_url) == before


async def test_what_new_code_makes_of_the_same_answers_is_shown(store: PostgresStore) -> None:
    made = driver(store, GRAPH)
    await made.run(HELLO, **RECORD)
    found = document(await replayer(made, store, SHOUTS).replay("thread", None, live=False))
    assert not found["same"]
    assert any(line.startswith("-") and '"Hello, 0"' in line for line in found["differences"])
    assert any(line.startswith("+") and '"HELLO, 0"' in line for line in found["differences"])
    assert SAID == ["Hello, 0"]


async def test_a_prompt_that_was_not_recorded_is_an_error_that_shows_it(
    store: PostgresStore,
) -> None:
    async def asks_more(state: MessagesState) -> Any:
        return {"messages": [await Parrot().ainvoke([*state["messages"], ("user", "Be brief")])]}

    made = driver(store, GRAPH)
    await made.run(HELLO, **RECORD)
    found = await replayer(made, store, one(asks_more)).replay("thread", None, live=False)
    assert found.now.error is not None
    assert found.now.error["error"] == "NotRecorded"
    assert "Be brief" in found.now.error["message"]
    assert SAID == ["Hello, 0"]


async def test_live_the_model_is_asked_anew(store: PostgresStore, direct_url: str) -> None:
    made = driver(store, GRAPH)
    await made.run(HELLO)  # not recorded
    with pytest.raises(BadInput, match="--live"):
        await replayer(made, store).replay("thread", None, live=False)
    before = await everything(direct_url)
    found = document(await replayer(made, store).replay("thread", None, live=True))
    assert found["now"]["values"]["messages"][-1]["content"] == "Hello, 1"
    assert not found["same"]
    assert SAID == ["Hello, 0", "Hello, 1"]
    assert await everything(direct_url) == before


async def test_an_answered_question_is_answered_again_and_effects_have_their_keys(
    store: PostgresStore,
) -> None:
    keys: list[str] = []

    async def think(state: MessagesState) -> Any:
        told = interrupt("what?")
        keys.append(effect_key())
        return {"messages": [await Parrot().ainvoke([("user", told)])]}

    made = driver(store, one(think))
    await made.run(HELLO, **RECORD)
    asking = await replayer(made, store).replay("thread", None, live=True)
    assert document(asking)["now"]["interrupts"] == [["what?"]]
    assert document(asking)["same"]
    await made.run(command={"resume": "this"}, **RECORD)

    found = document(await replayer(made, store).replay("thread", None, live=False))

    assert found["same"], found["differences"]
    assert found["now"]["values"]["messages"][-1]["content"] == "this, 0"
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert keys[0].startswith(found["effect_keys"])


async def test_every_task_of_a_fan_out_finds_its_own_answer(store: PostgresStore) -> None:
    async def work(state: Any) -> Any:
        said = await Parrot().ainvoke([("user", state["topic"])])
        return {"messages": [AIMessage(said.content, id=state["topic"])]}

    built = StateGraph(MessagesState).add_node("plan", lambda s: {}).add_node("work", work)
    built.add_conditional_edges("plan", lambda s: [Send("work", {"topic": t}) for t in "abcb"])
    made = driver(store, built.add_edge(START, "plan").compile())
    await made.run(HELLO, **RECORD)
    assert len(SAID) == 4
    found = document(await replayer(made, store).replay("thread", None, live=False))
    assert found["same"], found["differences"]
    assert (found["answered_from_record"], len(SAID)) == (4, 4)


async def test_calls_of_graph_llm_are_recorded_too(
    store: PostgresStore, offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(call: message_format.Call) -> dict[str, Any]:
        asked.append(call)
        return said(call)

    said = message_format.answer
    monkeypatch.setattr(messages, "answer", answer)

    async def think(state: MessagesState) -> Any:
        return {"messages": [await Claude().ainvoke("Say something")]}

    made = driver(store, one(think))
    run = await made.run(HELLO, **RECORD)
    assert run.status is RunStatus.SUCCESS, run.error
    found = document(await replayer(made, store).replay("thread", None, live=False))
    assert found["same"], found["differences"]
    assert (len(asked), found["answered_from_record"]) == (1, 1)


async def test_a_counted_prompt_is_as_long_in_a_replay(
    store: PostgresStore, offline: MessagesServer
) -> None:
    async def measure(state: MessagesState) -> Any:
        return {"messages": [AIMessage(str(await count(Claude(), state["messages"])))]}

    made = driver(store, one(measure))
    run = await made.run(HELLO, **RECORD)
    assert run.status is RunStatus.SUCCESS, run.error
    found = document(await replayer(made, store).replay("thread", None, live=False))
    assert found["same"], found["differences"]
    assert offline.counts["/v1/messages/count_tokens"] == 1


async def test_an_earlier_step_is_named_by_its_checkpoint(store: PostgresStore) -> None:
    made = driver(store, GRAPH)
    await made.run(HELLO, **RECORD)
    first = await made.thread()
    await made.run({"messages": [("user", "More")]}, **RECORD)
    stored = await store.load("thread", "", first.head)
    assert stored is not None
    found = await replayer(made, store).replay("thread", stored.row.parent_id, live=False)
    assert found.now.values["messages"][-1]["content"] == "Hello, 0"
    with pytest.raises(NotFound, match="no checkpoint nowhere"):
        await replayer(made, store).replay("thread", "nowhere", live=False)
    with pytest.raises(NotFound, match="does not exist"):
        await replayer(made, store).replay("nobody", None, live=False)


async def test_records_are_nobodys_state_and_go_with_their_checkpoint(
    store: PostgresStore,
) -> None:
    made = driver(store, GRAPH)
    await made.run(HELLO, **RECORD)
    await made.run({"messages": [("user", "More")]})
    serde = strict_serializer()
    kept = [s for _, s in await store.history("thread", "") if calls_of(s, serde)]
    assert len(kept) == 1  # the second run did not ask for it
    history = [
        s async for s in made.saved.aget_state_history({"configurable": {"thread_id": "thread"}})
    ]
    assert len(history) == 6
    assert all("baton_record" not in repr(state) for state in history)
    await store.delete_checkpoints(thread_id="thread")
    assert await store.history("thread", "") == []


class Died(BaseException):
    """The process was killed."""


async def test_what_a_dead_attempt_asked_is_not_recorded(store: PostgresStore) -> None:
    made = driver(store, GRAPH)

    async def die(name: str) -> None:
        if name == "after the node's effect":
            raise Died

    made.rt = replace(made.rt, cut=die)
    await made.ask(HELLO, **RECORD)
    job = await made.queue.receive()
    assert job is not None
    with pytest.raises(Died):
        await made.deliver(job)
    assert await store.history("thread", None) == []
    assert SAID == ["Hello, 0"]


def test_the_command_prints_what_is_different(database_url: str) -> None:
    async def ran() -> None:
        opened = PostgresStore(database_url)
        await driver(opened, GRAPH).run(HELLO, **RECORD)
        await opened.close()

    SAID.clear()
    asyncio.run(ran())
    said = ["replay", "thread", "--database-url", database_url, "--config", str(PROJECT)]
    same = CliRunner().invoke(main, [*said, "--yes"])
    assert same.exit_code == 0, same.output
    assert "No difference." in same.output
    other = CliRunner().invoke(main, [*said, "--graph", "shouts", "--json"])
    assert other.exit_code == 0, other.output
    assert json.loads(other.stdout)["same"] is False
    unsure = CliRunner().invoke(main, said, input="n\n")
    assert unsure.exit_code == 1
    assert "run again, with all they do outside" in unsure.output
