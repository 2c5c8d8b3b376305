"""The agents' own tools are told as LangChain's are."""

import asyncio
from typing import Any

import orjson
import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from graph import PermanentFailure
from graph.agents.toolbox import CannotDo, Tool, carry_out
from graph.runtime.models import Json
from tests.fixtures.driver import Driver
from tests.unit.test_step_events import heard

CALL: Any = {"name": "look", "args": {"where": "here"}, "id": "call-1", "type": "tool_call"}


class Look(BaseModel):
    """Look somewhere."""

    where: str


def calling(run: Any) -> Any:
    """A graph whose one node carries out a call of such a tool."""
    tool = Tool("look", Look, run, failed="It did not work.")

    async def act(state: MessagesState) -> Json:
        return {"messages": [await carry_out({"look": tool}, CALL)]}

    return StateGraph(MessagesState).add_node("act", act).add_edge(START, "act").compile()


async def told_of(run: Any) -> list[Any]:
    driver = Driver(calling(run))
    made = await driver.run({"messages": []}, stream_mode=["tools"])
    return [orjson.loads(event.data) for event in await heard(driver, made.run_id)]


async def test_a_call_is_told_with_its_result_and_its_milliseconds() -> None:
    async def run(args: Look) -> str:
        await asyncio.sleep(0.03)
        return f"nothing {args.where}"

    started, finished = await told_of(run)

    assert started == {
        "event": "tool-started",
        "tool_call_id": "call-1",
        "tool_name": "look",
        "input": {"where": "here"},
    }
    assert (finished["event"], finished["tool_call_id"]) == ("tool-finished", "call-1")
    assert finished["output"]["content"] == "nothing here"
    assert finished["ms"] >= 20


@pytest.mark.parametrize(
    ("raised", "event", "status"),
    [
        (CannotDo("not there"), "tool-finished", "error"),  # the model reads why
        (PermanentFailure("the run is over"), "tool-error", None),
    ],
)
async def test_how_a_call_failed_is_told(raised: Exception, event: str, status: str) -> None:
    async def run(args: Look) -> str:
        raise raised

    _, ended = await told_of(run)

    assert ended["event"] == event
    assert str(raised) in str(ended)
    assert ended.get("output", {}).get("status") == status


async def test_a_call_that_asks_a_person_has_no_end_yet() -> None:
    async def run(args: Look) -> str:
        return str(interrupt("may I?"))

    assert [one["event"] for one in await told_of(run)] == ["tool-started"]
