"""Carrying tool calls out: whatever a tool does, the model gets a result it can read."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from pydantic import BaseModel, Field

from graph import PermanentFailure, RetryLater
from graph.agents import long_results
from graph.agents.toolbox import CannotDo, Tool, carry_out
from graph.agents.tools import TOOLS


class Weather(BaseModel):
    """The weather of a city."""

    city: str = Field(min_length=2)


class Station:
    """A tool that does as it is told, once for each order; the last order stays."""

    def __init__(self, *orders: Any) -> None:
        self.orders = list(orders)
        self.calls = 0

    async def report(self, args: Weather) -> Any:
        self.calls += 1
        order = self.orders[min(self.calls, len(self.orders)) - 1]
        if isinstance(order, BaseException):
            raise order
        if order == "hang":
            await asyncio.sleep(60)
        return order


def tool(run: Callable[[Any], Awaitable[Any]], **options: Any) -> Tool:
    options = {"failed": "The station does not answer.", **options}
    return Tool("weather", Weather, run, **options)


async def use(made: Tool, args: Any = None, name: str = "weather") -> ToolMessage:
    call: Any = {"name": name, "args": {"city": "Oslo"} if args is None else args, "id": "c1"}
    return await carry_out({made.name: made}, call)


async def test_a_result_answers_its_call() -> None:
    result = await use(tool(Station("Cold.").report))
    assert (result.content, result.status, result.tool_call_id) == ("Cold.", "success", "c1")
    assert result.name == "weather"


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ({}, "city: Field required"),
        ({"city": "O"}, "city: String should have at least 2 characters"),
        ({"city": 7}, "city: Input should be a valid string"),
    ],
)
async def test_wrong_arguments_are_explained_and_nothing_is_done(args: Any, wrong: str) -> None:
    station = Station("Cold.")
    result = await use(tool(station.report), args)
    assert result.status == "error"
    assert wrong in str(result.content)
    assert station.calls == 0


async def test_a_tool_that_is_not_there_is_answered_with_those_that_are() -> None:
    result = await use(tool(Station("Cold.").report), name="wether")
    assert result.content == "There is no tool 'wether'; there are weather."
    assert (result.status, result.name) == ("error", "wether")


async def test_a_tool_that_hangs_is_given_up() -> None:
    result = await use(tool(Station("hang").report, timeout=0.01))
    assert result.content == "The station does not answer. It took longer than 0.01 s."
    assert result.status == "error"


async def test_a_tool_that_raises_tells_the_kind_of_error_and_keeps_its_secrets() -> None:
    result = await use(tool(Station(ValueError("password=hunter2")).report))
    assert result.content == "The station does not answer. (ValueError)"


@pytest.mark.parametrize("nonsense", [None, "", "  ", 7, {"a": 1}, b"bytes"])
async def test_nonsense_is_a_failure(nonsense: Any) -> None:
    result = await use(tool(Station(nonsense).report))
    assert result.status == "error"
    assert str(result.content).startswith("The station does not answer.")


@pytest.mark.parametrize("first", [ValueError("odd"), "hang", None])
async def test_a_failure_is_tried_again_as_often_as_the_tool_bears(first: Any) -> None:
    station = Station(first, "Cold.")
    assert (await use(tool(station.report, retries=1, timeout=0.01))).content == "Cold."
    assert station.calls == 2
    station = Station(first)
    assert (await use(tool(station.report, retries=2, timeout=0.01))).status == "error"
    assert station.calls == 3


async def test_what_a_tool_says_itself_is_final() -> None:
    station = Station(CannotDo("There is no such city."), "Cold.")
    result = await use(tool(station.report, retries=3))
    assert (result.content, result.status) == ("There is no such city.", "error")
    assert station.calls == 1


@pytest.mark.parametrize("signal", [RetryLater(5), PermanentFailure("set DATABASE_URL")])
async def test_signals_are_not_swallowed(signal: Exception) -> None:
    with pytest.raises(type(signal)):
        await use(tool(Station(signal).report, retries=1))


async def test_a_long_result_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_results, "SHOWN", 5)
    assert (await use(tool(Station("Cold and wet").report))).content == (
        "Cold \n(Cut at 5 of 12 characters.)"
    )


def test_every_tool_tells_the_model_what_it_is_for_and_what_it_takes() -> None:
    specs = [tool.spec() for tool in TOOLS]
    assert len({spec["name"] for spec in specs}) == len(specs) == 8
    for spec in specs:
        assert spec["description"]
        assert spec["input_schema"]["additionalProperties"] is False
        assert all(part["type"] for part in spec["input_schema"]["properties"].values())
