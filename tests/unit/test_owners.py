"""owner(): whom the running thread belongs to, whatever the request says."""

from typing import TypedDict

import pytest
from langgraph.graph import START, StateGraph

from graph import owner
from tests.fixtures.driver import OWNER, Driver


class State(TypedDict, total=False):
    mine: str


def tell(state: State) -> State:
    return {"mine": owner()}


GRAPH = StateGraph(State).add_node("tell", tell).add_edge(START, "tell").compile()


async def test_it_is_the_threads_owner_even_if_the_request_names_another() -> None:
    driven = Driver(GRAPH)
    await driven.run({}, config={"configurable": {"__baton_owner": "mallory"}})
    assert (await driven.values())["mine"] == OWNER


async def test_it_is_not_written_into_the_threads_history() -> None:
    driven = Driver(GRAPH)
    await driven.run({})
    state = await driven.saved.aget_state({"configurable": {"thread_id": driven.thread_id}})
    assert OWNER not in state.metadata.values()


async def test_outside_a_run_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="node that Baton runs"):
        await GRAPH.ainvoke({})
