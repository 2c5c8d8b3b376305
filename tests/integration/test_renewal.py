"""State that changes shape: a deploy with another state, and a thread that comes back late."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from graph.adapters.postgres import PostgresStore
from graph.runtime.checkpoints import config_of
from graph.runtime.models import Json, RunStatus, Upkeep
from tests.fixtures.driver import OWNER, Driver

X = "x" * 100
TALK = [{"type": "human", "content": X, "id": str(i)} for i in range(40)]  # a list of items


class Old(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    name: str


class New(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    person: Json
    notes: list[str]


class Died(BaseException):
    """The process was killed."""


def old_graph() -> Any:
    def ask(state: Old) -> Old:
        return {"name": interrupt("who?")}

    def chosen(state: Old) -> Old:
        return {"messages": [AIMessage("chosen", id="chosen")]}

    graph = StateGraph(Old).add_node("chosen", chosen).add_node("ask", ask)
    return graph.add_edge(START, "chosen").add_edge(START, "ask").compile()


def new_graph(ran: list[str]) -> Any:
    def ask(state: New) -> New:
        answer = interrupt("who?")
        ran.append("ask")
        return {"person": {**state["person"], "answer": answer}}

    def chosen(state: New) -> New:
        ran.append("chosen")
        return {}

    def last(state: New) -> New:
        ran.append("last")
        return {"notes": [*state["notes"], f"{len(state['messages'])} messages"]}

    graph = StateGraph(New).add_node("chosen", chosen).add_node("ask", ask).add_node("last", last)
    return graph.add_edge(START, "chosen").add_edge(START, "ask").add_edge("ask", "last").compile()


class Migration:
    """A hook that counts; it changes the state in place, as hooks do."""

    def __init__(self) -> None:
        self.called: list[str | None] = []

    def __call__(self, state: Json, from_version: str | None) -> Json:
        self.called.append(from_version)
        state["person"] = {"name": state.pop("name", "nobody")}
        state["notes"] = ["n" * 600, "m" * 600]
        state["messages"][0].content = "changed"
        return state


def deploy(driver: Driver, graph: Any, upkeep: Upkeep) -> None:
    driver.deploy(graph)
    driver.loaded.upkeeps["graph"] = upkeep


async def metadata(driver: Driver) -> list[str | None]:
    """The versions that made the thread's checkpoints, newest first."""
    found = await driver.store.history(driver.thread_id, "")
    return [stored.row.metadata.get("graph_version") for _, stored in found]


@pytest.fixture(params=["memory", "postgres"])
async def waiting(request: pytest.FixtureRequest) -> Any:
    """A thread of version 1 that waits for an answer, one of its two tasks being done."""
    driver = Driver(old_graph())
    async with AsyncExitStack() as opened:
        if request.param == "postgres":
            store = PostgresStore(request.getfixturevalue("database_url"))
            opened.push_async_callback(store.close)
            driver.move_to(store)
        deploy(driver, old_graph(), Upkeep("1"))
        await driver.run({"messages": TALK, "name": "Ada"})
        yield driver


async def test_a_run_and_its_checkpoints_say_which_version_they_are_of(waiting: Driver) -> None:
    assert set(await metadata(waiting)) == {"1"}


async def test_a_thread_goes_on_in_the_shape_of_the_newer_version(waiting: Driver) -> None:
    ran: list[str] = []
    migrate = Migration()
    deploy(waiting, new_graph(ran), Upkeep("2", migrate=migrate))

    run = await waiting.run(command={"resume": "Grace"})

    assert run.status is RunStatus.SUCCESS, run.error
    values = await waiting.values()
    assert values["person"] == {"name": "Ada", "answer": "Grace"}
    assert values["notes"] == ["n" * 600, "m" * 600, "41 messages"]
    assert [m.content for m in values["messages"][:2]] == ["changed", X]
    assert ran == ["ask", "last"]  # the finished sibling is not run again
    assert migrate.called == ["1"]
    assert await metadata(waiting) == ["2", "2", "1", "1"]
    before = (await waiting.store.history(waiting.thread_id, ""))[2][1].row.checkpoint_id
    old = await waiting.saved.aget_state(config_of(waiting.thread_id, "", before))
    assert old.values["messages"][0].content == X  # history is as it was


@pytest.mark.parametrize("cut", ["after claim", "after the node's effect"])
async def test_a_migration_whose_step_dies_is_made_once(waiting: Driver, cut: str) -> None:
    migrate = Migration()
    deploy(waiting, new_graph([]), Upkeep("2", migrate=migrate))
    left = [1]

    async def die(name: str) -> None:
        if name == cut and left:
            left.clear()
            raise Died

    waiting.rt = replace(waiting.rt, cut=die)
    waiting.time_left = 0.5 if isinstance(waiting.store, PostgresStore) else 30.0
    run = await waiting.ask(command={"resume": "Grace"})
    job = await waiting.queue.receive()
    assert job is not None
    with pytest.raises(Died):
        await waiting.deliver(job)
    waiting.time_left = 30.0
    waiting.clock.move(40)
    while await waiting.deliver(replace(job, redelivered=True)) == "busy":
        await asyncio.sleep(0.1)  # until the dead one's lease ends
    await waiting.drain()

    run = await waiting.store.get_run(run.run_id, waiting.thread_id, OWNER)
    assert run.status is RunStatus.SUCCESS, run.error
    assert (await waiting.values())["person"] == {"name": "Ada", "answer": "Grace"}
    assert set(migrate.called) == {"1"}
    assert (await metadata(waiting))[0] == "2"


def breaks(state: Json, from_version: str | None) -> Json:
    raise KeyError("no such city")


def none(state: Json, from_version: str | None) -> Any:
    state.clear()


def stray(state: Json, from_version: str | None) -> Json:
    return {"persn": "Ada"}


@pytest.mark.parametrize(
    ("migrate", "said"),
    [(breaks, "no such city"), (none, "NoneType"), (stray, "'persn'")],
)
async def test_a_migration_that_fails_leaves_the_last_good_state(
    waiting: Driver, migrate: Any, said: str
) -> None:
    ran: list[str] = []
    deploy(waiting, new_graph(ran), Upkeep("2", migrate=migrate))
    run = await waiting.run(command={"resume": "Grace"})
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert run.error["error"] == "MigrationFailed"
    assert said in run.error["message"]
    assert (ran, set(await metadata(waiting))) == ([], {"1"})

    deploy(waiting, new_graph(ran), Upkeep("2", migrate=Migration()))  # mended, it goes on
    assert (await waiting.run({"messages": []})).status is RunStatus.INTERRUPTED
    assert (await waiting.run(command={"resume": "Grace"})).status is RunStatus.SUCCESS


async def test_a_clients_edit_does_not_hide_that_the_state_is_an_old_one(waiting: Driver) -> None:
    from graph.runtime.edits import Edit, Write, update_state

    thread = replace(await waiting.thread(), metadata={"graph_id": "graph"})
    await update_state(waiting.rt, thread, Edit(Write({"name": "Alan"}, "ask")))
    assert (await metadata(waiting))[0] == "1"


async def test_a_thread_from_before_there_were_versions_is_migrated_from_none() -> None:
    driver = Driver(old_graph())
    await driver.run({"messages": TALK, "name": "Ada"})
    migrate = Migration()
    deploy(driver, new_graph([]), Upkeep("1", migrate=migrate))
    await driver.run(command={"resume": "Grace"})
    assert migrate.called == [None]


class Revalidation:
    def __init__(self, changes: Any = None, refuses: str = "") -> None:
        self.changes, self.refuses = changes, refuses
        self.idle: list[float] = []

    async def __call__(self, state: Json, idle_seconds: float) -> Any:
        self.idle.append(idle_seconds)
        if self.refuses:
            raise ValueError(self.refuses)
        return self.changes


async def test_an_answer_to_a_stale_question_may_be_refused(waiting: Driver) -> None:
    refusing = Revalidation(refuses="the offer for Ada expired")
    deploy(waiting, old_graph(), Upkeep("1", revalidate=refusing))
    run = await waiting.run(command={"resume": "Grace"})
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert run.error["error"] == "Refused"
    assert "the offer for Ada expired" in run.error["message"]
    assert (await waiting.values())["name"] == "Ada"


async def test_what_has_become_stale_may_be_patched(waiting: Driver) -> None:
    fresh = Revalidation({"messages": TALK[:1]})
    deploy(waiting, old_graph(), Upkeep("1", revalidate=fresh))
    run = await waiting.run(command={"resume": "Grace"})
    assert run.status is RunStatus.SUCCESS
    values = await waiting.values()
    assert [m.content for m in values["messages"]] == [X, "chosen"]
    assert len(fresh.idle) == 1


async def test_a_step_on_fresh_state_is_not_looked_at_again(waiting: Driver) -> None:
    seen = Revalidation()
    deploy(waiting, old_graph(), Upkeep("1", revalidate=seen))
    await waiting.run({"messages": []})
    assert seen.idle == []
    deploy(waiting, old_graph(), Upkeep("1", revalidate=seen, revalidate_after=0.0))
    await waiting.run({"messages": []})
    assert len(seen.idle) == 1
