"""What a run tells of its tools, its progress and its callbacks."""

import asyncio
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from graph import progress
from graph.errors import Unavailable
from graph.runtime.models import Json, RunStatus
from tests.fixtures.driver import Driver
from tests.fixtures.graphs import Log
from tests.unit.test_step_events import heard, speaking
from tests.unit.test_superstep_shapes import SHAPES

CALL = {"name": "look", "args": {"where": "here"}, "id": "call-1"}


@tool
async def look(where: str) -> str:
    """Look somewhere."""
    await asyncio.sleep(0.03)
    if where == "nowhere":
        raise ValueError("there is no such place")
    return f"nothing {where}"


def looking(where: str = "here") -> Any:
    """A graph whose one node calls a tool."""
    call = {**CALL, "args": {"where": where}}

    async def ask(state: MessagesState) -> Json:
        return {"messages": [AIMessage("", tool_calls=[call])]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_node("tools", ToolNode([look]))
    return graph.add_edge(START, "ask").add_edge("ask", "tools").compile()


async def told_of(graph: Any, given: Any, *modes: str, **asked: Any) -> list[tuple[str, Json]]:
    driver = Driver(graph)
    run = await driver.run(given, stream_mode=list(modes), **asked)
    return [(e.name, orjson.loads(e.data)) for e in await heard(driver, run.run_id)]


async def test_a_tools_start_and_end_are_told_with_its_milliseconds() -> None:
    started, finished = await told_of(looking(), {"messages": []}, "tools")
    assert started == (
        "tools",
        {
            "event": "tool-started",
            "tool_call_id": "call-1",
            "tool_name": "look",
            "input": {"where": "here"},
        },
    )
    assert finished[1]["event"] == "tool-finished"
    assert finished[1]["output"]["content"] == "nothing here"
    assert finished[1]["ms"] >= 20


async def test_a_tool_that_fails_is_told_with_its_error() -> None:
    started, failed = await told_of(looking("nowhere"), {"messages": []}, "tools")
    assert (started[1]["event"], failed[1]["event"]) == ("tool-started", "tool-error")
    assert failed[1]["message"] == "there is no such place"
    assert failed[1]["ms"] >= 20


def reporting(percent: float) -> Any:
    async def work(state: Log) -> Log:
        progress(percent, "half of it")
        return {"log": ["done"]}

    return StateGraph(Log).add_node("work", work).add_edge(START, "work").compile()


async def test_progress_is_the_step_of_a_known_maximum() -> None:
    limited = await told_of(
        SHAPES["linear"](), {"log": []}, "progress", config={"recursion_limit": 9}
    )
    assert {name for name, _ in limited} == {"progress"}
    assert [said for _, said in limited] == [
        {"step": n, "of": 9} for n in range(1, len(limited) + 1)
    ]
    assert len(limited) >= 2
    free = await told_of(SHAPES["linear"](), {"log": []}, "progress")
    assert {said["of"] for _, said in free} == {None}


async def test_a_node_reports_how_far_it_is() -> None:
    _, (name, said) = await told_of(reporting(50), {"log": []}, "progress")
    assert name == "progress"
    assert said == {"step": 1, "of": None, "node": "work", "percent": 50, "note": "half of it"}


async def test_a_report_nobody_asked_for_is_not_told() -> None:
    assert await told_of(reporting(50), {"log": []}, "custom") == []


@pytest.mark.parametrize("wrong", [-1, 101, float("nan")])
async def test_what_is_no_percentage_fails_the_node(wrong: float) -> None:
    driver = Driver(reporting(wrong))
    run = await driver.run({"log": []})
    assert (run.status, (run.error or {})["error"]) == (RunStatus.ERROR, "ValueError")


async def test_callbacks_are_told_as_astream_events_tells_them() -> None:
    graph, given = speaking("one two"), {"messages": ["hi"]}
    whole = [event async for event in graph.astream_events(given, version="v2")]

    told = await told_of(graph, given, "events")

    def shape(event: Any) -> Any:
        return event["event"], event["name"], sorted(event), sorted(event["data"])

    # The root graph's own chunks and its end are what a graph has that nobody steps.
    expected = [shape(e) for e in whole if e["name"] != "LangGraph"]
    assert {name for name, _ in told} == {"events"}
    assert [shape(said) for _, said in told if said["name"] != "LangGraph"] == expected
    tokens = [
        said["data"]["chunk"]["content"] for _, said in told if "model_stream" in str(said["event"])
    ]
    assert "".join(tokens) == "one two"
    assert b"baton" not in orjson.dumps(told)


async def test_callbacks_of_a_node_in_a_thread_are_told_too() -> None:
    def work(state: Log) -> Log:
        return {"log": ["done"]}

    graph = StateGraph(Log).add_node("work", work).add_edge(START, "work").compile()
    told = await told_of(graph, {"log": []}, "events")
    assert [said["event"] for _, said in told if said["name"] == "work"] == [
        "on_chain_start",
        "on_chain_stream",
        "on_chain_end",
    ]


async def test_each_step_is_an_invocation_of_its_own_to_callbacks() -> None:
    told = await told_of(SHAPES["linear"](), {"log": []}, "events")
    root = [said["event"] for _, said in told if said["name"] == "LangGraph"]
    steps = root.count("on_chain_start")
    assert steps >= 2
    assert root == ["on_chain_start"] * steps + ["on_chain_end"]


async def test_a_step_tried_again_is_told_after_its_metadata() -> None:
    deaths = [True]

    async def work(state: Log) -> Log:
        progress(10)
        if deaths:
            await asyncio.sleep(0.1)  # long enough to be heard
            deaths.pop()
            raise Unavailable("the database is gone")
        return {"log": ["done"]}

    driver = Driver(StateGraph(Log).add_node("work", work).add_edge(START, "work").compile())
    run = await driver.ask({"log": []}, stream_mode=["events", "progress"])
    job = await driver.queue.receive()
    assert job is not None
    with pytest.raises(Unavailable):
        await driver.deliver(job)
    before = {e.name for e in await heard(driver, run.run_id)}
    driver.clock.move(60)
    await driver.deliver(job)

    found = await heard(driver, run.run_id)
    assert before == {"events", "progress"}
    assert (found[0].name, orjson.loads(found[0].data)["attempt"]) == ("metadata", 2)
    said = [orjson.loads(e.data) for e in found if e.name == "progress"]
    assert [(one["step"], one.get("percent")) for one in said] == [(1, None), (1, 10)]
    ends = [orjson.loads(e.data)["event"] for e in found if e.name == "events"]
    assert ends.count("on_chain_end") == 2  # the node's and the graph's, of this attempt alone
