"""What a run ends with, told by the process that stepped it and by any other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from graph.adapters.memory import MemoryStore
from graph.runtime.rendering import jsonable
from graph.runtime.values import final_values
from graph.runtime.warm import WarmThreads
from tests.fixtures.driver import Driver

LONG = "word " * 400


@dataclass
class Order:
    item: str


class Talk(TypedDict, total=False):
    messages: Annotated[Sequence[AnyMessage], add_messages]
    orders: list[Order]
    note: str
    n: int


def talking(state: Talk) -> Talk:
    number = len(state.get("messages", ()))
    said = [AIMessage(f"{n} {LONG}", id=f"{number + n}") for n in range(3)]
    return {"messages": said, "orders": [Order(LONG)] * 2, "note": LONG, "n": number}


def asking(state: Talk) -> Talk:
    return {"messages": [AIMessage(LONG)], "note": str(interrupt("sure?"))}


def failing(state: Talk) -> Talk:
    raise ValueError("no")


def graph_of(node: Any) -> Any:
    return StateGraph(Talk).add_node("node", node).add_edge(START, "node").compile()


def functional() -> Any:
    @entrypoint()
    async def whole(given: Any) -> Any:
        return [given, LONG]

    return whole


class Read(MemoryStore):
    """Counts the checkpoints that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    async def load(self, thread_id: str, ns: str, checkpoint_id: str | None) -> Any:
        self.loads += 1
        return await super().load(thread_id, ns, checkpoint_id)


class Told:
    """A driver and what it answers, here and in a process that has stepped nothing."""

    def __init__(self, graph: Any) -> None:
        self.driver = Driver(graph)
        self.store = Read()
        self.driver.move_to(self.store)
        self.store.clock = self.driver.clock

    async def here_and_elsewhere(self, run: Any) -> tuple[Any, Any, int]:
        """Both answers, and how many checkpoints the first one read."""
        self.store.loads = 0
        here = jsonable(await final_values(self.driver.rt, run))
        loads = self.store.loads
        elsewhere = replace(self.driver.rt, warm=WarmThreads())
        return here, jsonable(await final_values(elsewhere, run)), loads


@pytest.mark.parametrize("graph", [graph_of(talking), functional()], ids=["state", "functional"])
async def test_what_was_stepped_here_is_told_without_reading_it(graph: Any) -> None:
    told = Told(graph)
    for _ in range(2):
        run = await told.driver.run({"note": "go"})
        here, elsewhere, loads = await told.here_and_elsewhere(run)

        assert (here, loads) == (elsewhere, 0)
        assert LONG in str(here)


async def test_a_process_that_is_behind_tells_where_the_run_ended() -> None:
    told = Told(graph_of(talking))
    first = await told.driver.run({})
    behind = told.driver.rt
    told.driver.rt = replace(behind, warm=WarmThreads())
    second = await told.driver.run({})
    told.driver.rt = behind

    here, elsewhere, loads = await told.here_and_elsewhere(second)

    assert (here, loads) == (elsewhere, 1)
    assert first.head != second.head


async def test_an_earlier_run_is_told_as_it_ended() -> None:
    told = Told(graph_of(talking))
    first = await told.driver.run({})
    await told.driver.run({})

    here, elsewhere, _ = await told.here_and_elsewhere(first)

    assert here == elsewhere
    assert here["n"] == 0


async def test_what_is_changed_in_place_afterwards_is_not_told() -> None:
    told = Told(graph_of(talking))
    run = await told.driver.run({})
    saved, _, _ = await told.here_and_elsewhere(run)
    for message in (await final_values(told.driver.rt, run))["messages"]:
        message.content = "changed"

    here, elsewhere, loads = await told.here_and_elsewhere(run)

    assert (here, loads) == (elsewhere, 0)
    assert here == saved


@pytest.mark.parametrize("node", [asking, failing])
async def test_questions_and_errors_are_told_as_by_any_process(node: Any) -> None:
    told = Told(graph_of(node))
    run = await told.driver.run({})

    here, elsewhere, _ = await told.here_and_elsewhere(run)

    assert here == elsewhere
    assert "sure?" in str(here) or "ValueError" in str(here)
