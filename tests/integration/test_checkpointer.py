"""The checkpointer as LangGraph sees it, on Postgres through pgbouncer and on the double."""

import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel

from graph.adapters.memory import MemoryStore
from graph.adapters.postgres import PostgresStore
from graph.runtime.checkpoints import Checkpoints, config_of, strict_serializer
from graph.runtime.ports import CheckpointStore
from tests.fixtures.driver import Driver

CAPABILITIES = 8


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[CheckpointStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    postgres = PostgresStore(request.getfixturevalue("database_url"))
    yield postgres
    await postgres.close()


async def test_the_checkpointer_passes_every_capability_of_the_conformance_suite(
    store: CheckpointStore,
) -> None:
    @checkpointer_test(name="baton")
    async def saver() -> AsyncIterator[BaseCheckpointSaver[Any]]:
        for thread_id, _ in await store.history(None, None):
            await store.delete_checkpoints(thread_id=thread_id)
        yield Checkpoints(store)

    report = await validate(saver)

    print(report.to_dict())
    failures = {name: r.failures for name, r in report.results.items() if not r.passed}
    assert failures == {}
    assert len(report.results) == CAPABILITIES


class Order(BaseModel):
    number: int


@dataclasses.dataclass
class Place:
    city: str


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    order: Order
    place: Place


async def test_a_graphs_own_types_come_back_as_they_were() -> None:
    def node(state: State) -> State:
        return {"messages": [AIMessage("hello")], "order": Order(number=7), "place": Place("Ulm")}

    def next_node(state: State) -> State:
        assert isinstance(state["order"], Order)
        assert isinstance(state["place"], Place)
        assert isinstance(state["messages"][0], HumanMessage)
        return {"order": Order(number=state["order"].number + 1)}

    graph = StateGraph(State).add_node("node", node).add_node("next", next_node)
    driver = Driver(graph.add_edge(START, "node").add_edge("node", "next").compile())
    run = await driver.run({"messages": [HumanMessage("hi")]})

    assert run.error is None
    values = await driver.values()
    assert (values["order"], values["place"]) == (Order(number=8), Place("Ulm"))


async def test_what_the_database_holds_is_never_executed(
    store: CheckpointStore, tmp_path: Path
) -> None:
    proof = tmp_path / "executed"
    crafted = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "system", f"touch {proof}"))))
    checkpoints = Checkpoints(store)
    assert checkpoints.serde.loads_typed(("msgpack", crafted)) == f"touch {proof}"
    with pytest.raises(NotImplementedError):  # by LangGraph's serializer, which knows no pickle
        strict_serializer().loads_typed(("pickle", b"cos\nsystem\n(S'true'\ntR."))
    assert not os.path.exists(proof)
    assert await checkpoints.aget_tuple(config_of("nobody", "", None)) is None


async def test_unchanged_large_values_are_stored_once(store: CheckpointStore) -> None:
    driver = Driver(StateGraph(State).add_node("n", lambda s: {}).add_edge(START, "n").compile())
    large = "x" * 5000
    await driver.run({"messages": [HumanMessage(large, id="1")]})
    await driver.run({"place": Place("Ulm")})
    seen: dict[bytes, bytes] = {}
    sizes = []
    for _, stored in await driver.store.history(driver.thread_id, ""):
        seen |= {blob_id: blob.data for blob_id, blob in stored.blobs.items()}
        sizes.append(len(stored.row.body))
    assert len([data for data in seen.values() if large.encode() in data]) <= 2
    assert max(sizes) < len(large)
