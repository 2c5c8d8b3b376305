"""Every stream mode's events, as unmodified clients are used to them on the wire."""

from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import interrupt
from langgraph_sdk import get_client

from graph import progress
from graph.runtime.models import Json
from tests.fixtures.service import service, worker
from tests.integration.test_sdk import Stack, served
from tests.unit.test_step_events_live import CALL, look

ALL = [
    "values", "updates", "messages", "messages-tuple", "custom", "events", "debug", "tasks",
    "checkpoints", "tools", "progress",
]  # fmt: skip
GIVEN = {"messages": [{"role": "user", "content": "hi"}]}


def everything() -> Any:
    """A graph with something for each mode: tokens, a tool, a report, and a question at its end."""
    model = GenericFakeChatModel(messages=(AIMessage("one two") for _ in count()))

    async def think(state: MessagesState) -> Json:
        get_stream_writer()({"thinking": True})
        progress(50, "half")
        said = await model.ainvoke(state["messages"])
        return {"messages": [AIMessage(said.content, id="said", tool_calls=[CALL])]}

    async def ask(state: MessagesState) -> Json:
        return {"messages": [AIMessage(interrupt("go on?"))]}

    graph = StateGraph(MessagesState).add_node("think", think).add_node("ask", ask)
    graph.add_node("act", ToolNode([look]))
    return graph.add_edge(START, "think").add_edge("think", "act").add_edge("act", "ask").compile()


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    behind = service(more_graphs={"everything": everything()})
    async with served(behind.app) as url, worker(behind), get_client(url=url) as sdk:
        yield Stack(sdk, behind, url)


def has(*keys: str) -> Callable[[Any], bool]:
    return lambda data: {*keys} <= set(data)


def is_message(data: Any) -> bool:
    return has("content", "type", "id")(data)


SHAPES: dict[str, dict[str, Callable[[Any], bool]]] = {
    "values": {"values": has("messages")},
    "updates": {"updates": lambda d: len(d) == 1 and set(d) <= {"think", "act", "__interrupt__"}},
    "messages": {
        "messages/metadata": lambda d: all("langgraph_node" in m["metadata"] for m in d.values()),
        "messages/partial": lambda d: is_message(d[0]) and d[0]["type"] == "ai",
        "messages/complete": lambda d: is_message(d[0]),
    },
    "messages-tuple": {"messages": lambda d: is_message(d[0]) and "langgraph_node" in d[1]},
    "custom": {"custom": lambda d: d == {"thinking": True}},
    "events": {"events": has("event", "name", "run_id", "data", "metadata", "tags", "parent_ids")},
    "debug": {"debug": has("step", "timestamp", "type", "payload")},
    "tasks": {
        "tasks": lambda d: (
            has("id", "name", "input", "triggers")(d)
            or has("id", "name", "error", "result", "interrupts")(d)
        )
    },
    "checkpoints": {
        "checkpoints": has("config", "metadata", "values", "next", "tasks", "parent_config")
    },
    "tools": {"tools": has("event", "tool_call_id")},
    "progress": {"progress": has("step", "of")},
}


@pytest.mark.parametrize("mode", ALL)
async def test_a_modes_events_have_their_shape(stack: Stack, mode: str) -> None:
    stream = stack.sdk.runs.stream(
        await stack.thread(), "everything", input=GIVEN, stream_mode=mode
    )
    parts = [part async for part in stream]

    assert parts[0].event == "metadata"
    assert set(parts[0].data) == {"run_id", "attempt"}
    assert (parts[-1].event, parts[-1].data) == ("end", None)
    told = parts[1:-1]
    assert {part.event for part in told} == set(SHAPES[mode])
    for part in told:
        assert SHAPES[mode][part.event](part.data), part
    numbers = [int(part.id) for part in told]
    assert numbers == sorted(set(numbers))


async def test_a_question_is_told_by_values_and_updates(stack: Stack) -> None:
    for mode in ("values", "updates"):
        thread_id = await stack.thread()
        stream = stack.sdk.runs.stream(thread_id, "everything", input=GIVEN, stream_mode=mode)
        *_, last, _ = [part async for part in stream]
        (asked,) = last.data["__interrupt__"]
        assert asked["value"] == "go on?"
        assert asked["id"]


async def test_a_stream_of_all_modes_does_not_confuse_clients(stack: Stack) -> None:
    """What a client does not know, it passes over: RemoteGraph looks for what it asked for."""
    modes = [mode for mode in ALL if mode != "messages"]
    stream = stack.sdk.runs.stream(
        await stack.thread(), "everything", input=GIVEN, stream_mode=modes, version="v2"
    )
    assert {part["type"] for part in [p async for p in stream]} >= {"values", "tools", "progress"}

    remote = RemoteGraph("everything", client=stack.sdk)
    config: Any = {"configurable": {"thread_id": await stack.thread()}}
    asked: Any = ["values", "tools", "progress"]
    chunks: list[Any] = [chunk async for chunk in remote.astream(GIVEN, config, stream_mode=asked)]
    assert {chunk[0] for chunk in chunks} == {"values", "tools", "progress"}
