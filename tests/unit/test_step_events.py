"""A stepped graph tells what an unstepped one streams."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypedDict

import orjson
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph

from graph.errors import Unavailable
from graph.runtime.models import SKIPPED, Claim, Event, RunStatus
from graph.runtime.rendering import to_json
from graph.signals import RetryLater
from tests.fixtures.around import around
from tests.fixtures.driver import Driver
from tests.fixtures.graphs import Chat
from tests.unit.test_superstep_shapes import SHAPES, State, asks, says

OF_THE_MOMENT = {  # what differs from run to run, or that a run of Baton's adds
    "timestamp", "checkpoint_id", "id", "checkpoint_ns", "thread_id", "langgraph_checkpoint_ns",
    "created_at", "checkpoint_map", "metadata", "run_id", "graph_id", "assistant_id",
}  # fmt: skip
Told = tuple[str, Any]


def lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: lasting(part) for k, part in value.items() if k not in OF_THE_MOMENT}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def told(name: str, data: bytes) -> Told:
    return "|".join(part.split(":")[0] for part in name.split("|")), lasting(orjson.loads(data))


async def heard(driver: Driver, run_id: str) -> list[Event]:
    (found,) = await driver.store.heard({run_id: 0}, limit=10_000)
    return list(found.events)


async def streamed(graph: Any, modes: Sequence[str], *, subgraphs: bool) -> list[Told]:
    """What LangGraph streams when nobody steps it."""
    whole = graph.copy({"checkpointer": InMemorySaver()})
    config = {"configurable": {"thread_id": "whole"}}
    stream = whole.astream({"log": ["in"]}, config, stream_mode=modes, subgraphs=subgraphs)
    items = [item if subgraphs else ((), *item) async for item in stream]
    return [told("|".join((mode, *ns)), to_json(data)) for ns, mode, data in items]


ALL_SHAPES = SHAPES | {"asks": lambda: asks("a", "b")}


@pytest.mark.parametrize("subgraphs", [False, True], ids=["root", "with subgraphs"])
@pytest.mark.parametrize(
    "modes", [["values", "updates", "custom"], ["tasks"], ["checkpoints"], ["debug"]], ids=str
)
@pytest.mark.parametrize("shape", ALL_SHAPES)
async def test_a_stepped_run_tells_what_an_unstepped_one_streams(
    shape: str, modes: list[str], subgraphs: bool
) -> None:
    make = ALL_SHAPES[shape]
    expected = await streamed(make(), modes, subgraphs=subgraphs)
    driver = Driver(make())

    run = await driver.run({"log": ["in"]}, stream_mode=modes, stream_subgraphs=subgraphs)

    assert [told(e.name, e.data) for e in await heard(driver, run.run_id)] == expected


async def test_nothing_is_told_when_nobody_asked() -> None:
    driver = Driver(speaking("a b c"))
    run = await driver.run({"messages": ["hi"]})
    assert run.status is RunStatus.SUCCESS
    assert await heard(driver, run.run_id) == []


async def test_a_checkpoint_tells_nothing_of_what_only_nodes_are_told() -> None:
    driver = Driver(SHAPES["linear"]())
    run = await driver.run({"log": []}, stream_mode=["checkpoints", "debug"])
    text = b"".join(event.data for event in await heard(driver, run.run_id))
    assert b"baton" not in text
    assert run.thread_id.encode() in text


def speaking(text: str, *, pace: float = 0.0) -> Any:
    """A graph whose one node streams this text from a model, word by word."""

    class Model(GenericFakeChatModel):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
                await asyncio.sleep(pace)

    model = Model(messages=(AIMessage(text) for _ in itertools.count()))

    async def speak(state: Chat) -> Chat:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return StateGraph(Chat).add_node("speak", speak).add_edge(START, "speak").compile()


async def test_tokens_grow_a_message_until_it_is_complete() -> None:
    driver = Driver(speaking("one two", pace=0.3))

    run = await driver.run({"messages": ["hi"]}, stream_mode=["messages"])

    (begins, *parts) = [(e.name, orjson.loads(e.data)) for e in await heard(driver, run.run_id)]
    assert begins[0] == "messages/metadata"
    ((message_id, about),) = begins[1].items()
    assert about["metadata"]["langgraph_node"] == "speak"
    assert {name for name, _ in parts} == {"messages/partial"}
    contents = [message["content"] for _, (message,) in parts]
    assert contents == ["one", "one ", "one two"]
    assert {(m["id"], m["type"]) for _, (m,) in parts} == {(message_id, "ai")}


def counting(writes: list[int]) -> Any:
    async def counted(tell: Any, claim: Claim, told: Sequence[Event]) -> None:
        writes.append(len(told))
        await tell(claim, told)

    return counted


async def test_tokens_that_come_fast_are_told_together() -> None:
    text = " ".join(f"word{n}" for n in range(200))
    for mode in ("messages", "messages-tuple"):
        driver = Driver(speaking(text, pace=0.002))
        writes: list[int] = []
        around(driver.store.tell, counting(writes))
        run = await driver.run({"messages": ["hi"]}, stream_mode=[mode])

        found = [e for e in await heard(driver, run.run_id) if e.name != "messages/metadata"]
        chunks = [orjson.loads(e.data)[0]["content"] for e in found]
        assert (chunks[-1] if mode == "messages" else "".join(chunks)) == text
        assert 1 <= len(writes) <= 10
        assert all(count > 0 for count in writes)
        assert len(found) <= len(writes) + 1


async def test_a_message_that_does_not_come_in_tokens_is_complete_at_once() -> None:
    driver = Driver(chat_of(lambda state: {"messages": [AIMessage("whole", id="m")]}))
    run = await driver.run({"messages": ["hi"]}, stream_mode=["messages"])
    found = [(e.name, orjson.loads(e.data)) for e in await heard(driver, run.run_id)]
    assert [name for name, _ in found] == ["messages/metadata", "messages/complete"]
    assert [m["content"] for m in found[1][1]] == ["whole"]


def chat_of(node: Any) -> Any:
    return StateGraph(Chat).add_node("node", node).add_edge(START, "node").compile()


class Notes(TypedDict, total=False):
    log: list[str]


async def test_what_a_node_writes_is_heard_while_it_runs() -> None:
    heard_meanwhile: list[str] = []

    async def node(state: Notes) -> Notes:
        get_stream_writer()({"progress": 1})
        while not heard_meanwhile:
            (found,) = await driver.store.heard(dict.fromkeys(driver.store.tables.runs, 0))
            heard_meanwhile.extend(event.name for event in found.events)
            await asyncio.sleep(0.005)
        return {"log": ["done"]}

    driver = Driver(StateGraph(Notes).add_node("node", node).add_edge(START, "node").compile())
    run = await driver.run({"log": []}, stream_mode=["values", "custom"])

    assert heard_meanwhile == ["values", "custom"]
    assert [e.name for e in await heard(driver, run.run_id)] == ["values", "custom", "values"]


async def test_a_step_tried_again_says_so_and_is_told_once() -> None:
    deaths = [True]

    async def node(state: Notes) -> Notes:
        get_stream_writer()("working")
        if deaths:
            await asyncio.sleep(0.1)  # long enough to be heard
            deaths.pop()
            raise Unavailable("the database is gone")
        return {"log": ["done"]}

    driver = Driver(StateGraph(Notes).add_node("node", node).add_edge(START, "node").compile())
    run = await driver.ask({"log": []}, stream_mode=["updates", "custom"])
    job = await driver.queue.receive()
    assert job is not None
    with pytest.raises(Unavailable):
        await driver.deliver(job)
    assert [e.name for e in await heard(driver, run.run_id)] == ["custom"]
    driver.clock.move(60)
    await driver.deliver(job)

    found = await heard(driver, run.run_id)
    assert [(e.name, orjson.loads(e.data)) for e in found] == [
        ("metadata", {"run_id": run.run_id, "attempt": 2}),
        ("custom", "working"),
        ("updates", {"node": {"log": ["done"]}}),
    ]
    assert [e.seq - SKIPPED for e in found] == [2, 3, 4]


async def test_a_step_in_parts_tells_the_outcome_of_its_tasks_once() -> None:
    calls = itertools.count()

    def patient(state: Any) -> Any:
        get_stream_writer()("asking")
        if next(calls) == 0:
            raise RetryLater(30)
        return {"log": ["patient"]}

    graph = StateGraph(State).add_node("quick", says("quick")).add_node("patient", patient)
    driver = Driver(graph.add_edge(START, "quick").add_edge(START, "patient").compile())
    run = await driver.run({"log": ["in"]}, stream_mode=["values", "updates", "custom"])

    found = [(e.name, orjson.loads(e.data)) for e in await heard(driver, run.run_id)]
    names = [name for name, _ in found]
    assert names.count("custom") == 2
    assert [data for name, data in found if name == "values"] == [
        {"log": ["in"]},
        {"log": ["in", "patient", "quick"]},
    ]
    updates = [sorted(data.keys() - {"__metadata__"}) for name, data in found if name == "updates"]
    assert sorted(updates) == [["patient"], ["quick"]]


async def test_a_worker_that_lost_its_claim_notices_when_it_tells() -> None:
    async def node(state: Notes) -> Notes:
        driver.clock.move(3600)  # frozen beyond its lease
        assert await driver.deliver(job) == "done"  # the message came again meanwhile
        get_stream_writer()("from the grave")
        await asyncio.sleep(0.1)
        return {"log": ["zombie"]}

    async def quick(state: Notes) -> Notes:
        return {"log": ["done"]}

    nodes = iter([node, quick])

    async def either(state: Notes) -> Notes:
        return await next(nodes)(state)

    driver = Driver(StateGraph(Notes).add_node("node", either).add_edge(START, "node").compile())
    run = await driver.ask({"log": []}, stream_mode=["updates", "custom"])
    found = await driver.queue.receive()
    assert found is not None
    job = found

    assert await driver.deliver(job) == "lost"

    names = [(e.name, orjson.loads(e.data)) for e in await heard(driver, run.run_id)]
    assert names == [
        ("metadata", {"run_id": run.run_id, "attempt": 2}),
        ("updates", {"node": {"log": ["done"]}}),
    ]


async def test_a_value_without_json_is_left_out_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd:
        def model_dump(self) -> None:
            raise ValueError("not now")

    def node(state: Notes) -> Notes:
        get_stream_writer()(Odd())
        return {"log": ["done"]}

    driver = Driver(StateGraph(Notes).add_node("node", node).add_edge(START, "node").compile())
    run = await driver.run({"log": []}, stream_mode=["updates", "custom"])

    assert run.status is RunStatus.SUCCESS
    assert [e.name for e in await heard(driver, run.run_id)] == ["updates"]
    assert "a custom event has no JSON form" in caplog.text


async def test_nested_graphs_are_told_while_the_step_runs() -> None:
    seen: list[str] = []

    async def slow(state: Any) -> Any:
        while not any("|" in name for name in seen):
            (found,) = await driver.store.heard(dict.fromkeys(driver.store.tables.runs, 0))
            seen.extend(e.name for e in found.events)
            await asyncio.sleep(0.005)
        return {}

    inner = StateGraph(State).add_node("x", says("x")).add_node("slow", slow)
    nested = inner.add_edge(START, "x").add_edge("x", "slow").compile()
    graph = StateGraph(State).add_node("child", nested).add_edge(START, "child").compile()
    driver = Driver(graph)
    run = await driver.run({"log": []}, stream_mode=["updates"], stream_subgraphs=True)

    names = [e.name.split(":")[0] for e in await heard(driver, run.run_id)]
    assert names == ["updates|child", "updates|child", "updates"]
