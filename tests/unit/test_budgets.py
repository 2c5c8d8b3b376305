"""Budgets: a run stops within one call of its ceiling, and a person may raise it."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send

from graph import PermanentFailure
from graph.budgets import Account, BudgetSpent, Stopped, check, within
from graph.ceilings import Budget, budget_of, raised
from graph.errors import BadInput
from graph.llm.chat import Claude
from graph.runtime.models import NewRun, Run, RunStatus, ThreadStatus
from graph.runtime.runs import start_run
from graph.runtime.threads import Place, read_state
from graph.runtime.values import final_values
from graph.usage import Totals
from infra.local import message_format, messages
from infra.local.messages import MessagesServer
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.service import service

GIVEN: dict[str, Any] = {"messages": [("user", "Hello")]}
COST = Decimal("0.0125")  # 100,000 in and 5,000 out


class Server:
    """The offline model server under a real model's name, keeping its own count of the cost."""

    def __init__(self) -> None:
        self.calls = 0
        self.usage = {"input_tokens": 100_000, "output_tokens": 5_000}

    def answer(self, call: message_format.Call) -> dict[str, Any]:
        self.calls += 1
        return message_format.answer(call) | {"model": "claude-haiku-5-5", "usage": self.usage}

    @property
    def usd(self) -> Decimal:
        return self.calls * COST


@pytest.fixture
def server(offline: MessagesServer, monkeypatch: pytest.MonkeyPatch) -> Server:
    counted = Server()
    monkeypatch.setattr(messages, "answer", counted.answer)
    return counted


async def think(state: MessagesState) -> None:
    await Claude().ainvoke("Go on")


def for_ever() -> Any:
    """A graph that calls the model in a loop without end."""
    built = StateGraph(MessagesState).add_node("think", think)
    return built.add_edge(START, "think").add_edge("think", "think").compile()


def asking(**budget: Any) -> dict[str, Any]:
    return {"config": {"configurable": {"budget": budget}}}


async def question(driven: Driver) -> Any:
    ((asked,),) = (await driven.thread()).interrupts.values()
    return asked["value"]


async def test_a_loop_without_end_stops_within_one_call_of_its_ceiling(server: Server) -> None:
    driven = Driver(for_ever(), deliveries=2)
    run = await driven.run(GIVEN, **asking(usd=0.10))
    assert run.status is RunStatus.INTERRUPTED
    assert (await driven.thread()).status is ThreadStatus.INTERRUPTED
    assert Decimal("0.10") <= run.spent.usd < Decimal("0.10") + COST
    assert run.spent.usd == server.usd
    assert sum(call.spent.usd or 0 for call in driven.store.tables.calls) == server.usd
    assert run.spent.calls == server.calls == 8


async def test_the_question_says_what_was_spent_and_how_to_go_on(server: Server) -> None:
    driven = Driver(for_ever())
    await driven.run(GIVEN, **asking(usd=0.10))
    asked = await question(driven)
    assert asked["whose"] == "run"
    assert asked["spent"] == {
        "usd": 0.1,
        "tokens": 840_000,
        "model_calls": 8,
        "tool_calls": 0,
        "steps": 8,
    }
    assert asked["ceiling"] == {"usd": 0.1}
    assert asked["answer_with"] == {"raise_budget": {"usd": 0.2}}


async def test_a_person_raises_the_ceiling_and_the_run_goes_on_where_it_stopped(
    server: Server,
) -> None:
    driven = Driver(for_ever(), deliveries=2)
    await driven.run(GIVEN, **asking(model_calls=3))
    resumed = await resume(driven, {"raise_budget": {"model_calls": 5}})
    assert resumed.status is RunStatus.INTERRUPTED
    assert (resumed.spent.calls, server.calls) == (5, 8)
    assert (await driven.thread()).spent.calls == 8


async def resume(driven: Driver, answer: Any, **kwargs: Any) -> Run:
    """What a client's resume does."""
    made = {"input": None, "command": {"resume": answer}, **kwargs}
    new = NewRun("resumed", driven.thread_id, OWNER, "graph", "graph", made)
    await start_run(driven.rt, new)
    await driven.drain()
    return await driven.store.get_run("resumed", driven.thread_id, OWNER)


async def test_a_raised_thread_ceiling_counts_what_earlier_runs_spent(server: Server) -> None:
    driven = Driver(for_ever())
    await driven.run(GIVEN, **asking(thread={"model_calls": 2}))
    asked = await question(driven)
    assert (asked["whose"], asked["answer_with"]) == (
        "thread",
        {"raise_budget": {"thread": {"model_calls": 4}}},
    )
    assert (await resume(driven, asked["answer_with"])).spent.calls == 2
    assert server.calls == 4
    again = await driven.run(GIVEN, **asking(thread={"model_calls": 4}))
    assert (again.status, again.spent.calls) == (RunStatus.INTERRUPTED, 0)


async def test_a_second_run_on_the_thread_has_a_budget_of_its_own(server: Server) -> None:
    driven = Driver(for_ever())
    for _ in range(2):
        assert (await driven.run(GIVEN, **asking(model_calls=2))).spent.calls == 2
    assert server.calls == 4


@pytest.mark.parametrize(
    ("budget", "calls"),
    [
        ({"tokens": 105_001}, 2),
        ({"tokens": 105_000}, 1),
        ({"model_calls": 4}, 4),
        ({"steps": 3}, 3),
    ],
)
async def test_every_kind_of_ceiling_stops_the_run(
    server: Server, budget: dict[str, int], calls: int
) -> None:
    run = await Driver(for_ever()).run(GIVEN, **asking(**budget))
    assert (run.status, server.calls) == (RunStatus.INTERRUPTED, calls)


async def test_a_run_may_ask_for_an_error_instead(server: Server) -> None:
    driven = Driver(for_ever())
    run = await driven.run(GIVEN, **asking(model_calls=2, at_ceiling="error"))
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert run.error["error"] == "BudgetSpent"
    assert "the run's budget is spent" in run.error["message"]
    assert server.calls == 2


async def test_what_lost_and_repeated_attempts_spent_counts(server: Server) -> None:
    from tests.fixtures.crashing import CrashingDriver

    driven = CrashingDriver(for_ever())
    run = await driven.run(GIVEN, **asking(model_calls=3))
    # What a process did that died is on record, at the most it can have cost.
    assert run.spent.calls == server.calls == 3
    assert driven.crashes == 2
    lost = [call.spent.usd for call in driven.store.tables.calls if call.lost]
    assert len(lost) == 2
    assert run.spent.usd == COST + sum(usd or 0 for usd in lost)


async def test_calls_at_once_pass_a_ceiling_by_no_more_than_one(server: Server) -> None:
    async def work(state: Any) -> None:
        await think(state)

    built = StateGraph(MessagesState).add_node("work", work)
    built.add_conditional_edges(START, lambda _: [Send("work", {})] * 40, ["work"])
    server.usage = {"input_tokens": 30, "output_tokens": 15_000}
    run = await Driver(built.compile()).run(GIVEN, **asking(usd=0.05))
    assert run.status is RunStatus.INTERRUPTED
    cost = Decimal("0.007503")
    assert run.spent.usd == server.calls * cost
    assert Decimal("0.05") <= run.spent.usd < Decimal("0.05") + cost


async def test_calls_at_once_keep_to_a_number_of_calls(server: Server) -> None:
    async def work(state: Any) -> None:
        await asyncio.gather(*(think(state) for _ in range(9)))

    graph = StateGraph(MessagesState).add_node("work", work).add_edge(START, "work").compile()
    run = await Driver(graph).run(GIVEN, **asking(model_calls=4))
    assert (run.status, server.calls) == (RunStatus.INTERRUPTED, 4)


async def test_a_cheaper_model_is_asked_close_to_the_ceiling(
    server: Server, offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL", "claude-sonnet-5-5")
    monkeypatch.setenv("BATON_MODEL_CHEAPER", "claude-haiku-5-5")
    driven = Driver(for_ever())
    await driven.run(GIVEN, **asking(usd=0.10, cheaper_at=0.5))
    assert [sent["model"] for sent in offline.received] == [
        *["claude-sonnet-5-5"] * 4,  # 0.05 spent
        *["claude-haiku-5-5"] * 4,
    ]


async def test_the_deployment_has_ceilings_for_runs_that_ask_for_none(server: Server) -> None:
    driven = Driver(for_ever())
    driven.rt = replace(driven.rt, budget={"model_calls": 2, "thread": {"tokens": 10**9}})
    assert (await driven.run(GIVEN)).spent.calls == 2
    assert (await driven.run(GIVEN, **asking(model_calls=3))).spent.calls == 3
    assert (await driven.run(GIVEN, **asking(thread={"model_calls": 6}))).spent.calls == 1


async def test_a_call_that_was_refused_leaves_nothing_on_record(
    server: Server, offline: MessagesServer
) -> None:
    offline.fail_next(529)
    driven = Driver(for_ever())
    run = await driven.run(GIVEN, **asking(model_calls=2))
    assert run.spent.calls == len(driven.store.tables.calls) == server.calls == 2


async def test_the_question_stands_in_the_state_and_in_the_stream(server: Server) -> None:
    driven = Driver(for_ever())
    run = await driven.run(GIVEN, stream_mode=["updates"], **asking(model_calls=2))
    asked = await question(driven)
    state = await read_state(driven.rt, await driven.thread(), Place())
    (task,) = state["tasks"]
    assert task["name"] == "think"
    assert [asking["value"] for asking in task["interrupts"]] == [asked]
    assert state["interrupts"] == task["interrupts"]
    told = [event for _, event in driven.store.tables.events[run.run_id]]
    ((interrupt,),) = [json.loads(e.data)["__interrupt__"] for e in told if b"__inter" in e.data]
    assert interrupt == task["interrupts"][0]


@pytest.mark.parametrize("calls", [1, 2])
async def test_who_waits_for_the_run_is_told_the_question(server: Server, calls: int) -> None:
    driven = Driver(for_ever())
    run = await driven.run(GIVEN, **asking(model_calls=calls))
    told = await final_values(driven.rt, run)
    assert told["messages"]
    assert [asked["value"] for asked in told["__interrupt__"]] == [await question(driven)]
    await resume(driven, {"raise_budget": {"model_calls": 9}})
    assert "__interrupt__" not in await final_values(driven.rt, run)  # it has been answered
    await driven.store.delete_thread(driven.thread_id, OWNER)
    assert await final_values(driven.rt, run) == {}


async def test_who_waits_is_told_of_a_ceiling_that_was_reached_before_the_first_step(
    server: Server,
) -> None:
    driven = Driver(for_ever())
    await driven.run(GIVEN, **asking(thread={"model_calls": 1}))
    run = await driven.run(GIVEN, **asking(thread={"model_calls": 1}))
    assert run.spent.calls == 0
    (asked,) = (await final_values(driven.rt, run))["__interrupt__"]
    assert asked["value"]["whose"] == "thread"


async def test_calls_of_one_step_are_held_to_the_ceiling_one_by_one(server: Server) -> None:
    async def many(state: MessagesState) -> None:
        for _ in range(10):
            await think(state)

    graph = StateGraph(MessagesState).add_node("many", many).add_edge(START, "many").compile()
    run = await Driver(graph).run(GIVEN, **asking(model_calls=4))
    assert (run.status, run.spent.calls, server.calls) == (RunStatus.INTERRUPTED, 4, 4)


async def test_siblings_that_finished_are_kept_when_one_hits_the_ceiling(server: Server) -> None:
    async def work(state: Any) -> Any:
        if state["n"]:
            while server.calls < 2:
                await think(state)
            await think(state)
        return {"messages": [("ai", f"did {state['n']}")]}

    built = StateGraph(MessagesState).add_node("work", work)
    sends = [Send("work", {"n": n}) for n in range(2)]
    built.add_conditional_edges(START, lambda _: sends, ["work"])
    driven = Driver(built.compile())
    assert (await driven.run(GIVEN, **asking(model_calls=2))).status is RunStatus.INTERRUPTED
    assert (await resume(driven, {"raise_budget": {"model_calls": 9}})).status is RunStatus.SUCCESS
    assert [m.content for m in (await driven.values())["messages"]][1:] == ["did 0", "did 1"]


async def test_a_model_without_a_price_cannot_be_held_to_dollars(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL", "llama-5")
    run = await Driver(for_ever()).run(GIVEN, **asking(usd=1))
    assert run.error is not None
    assert "llama-5 has no price" in run.error["message"]
    assert server.calls == 0


@pytest.mark.parametrize(
    ("budget", "wrong"),
    [
        ({"usd": 0}, "usd: Input should be greater than 0"),
        ({"dollars": 1}, "dollars: Extra inputs"),
        ({"thread": {"steps": 1}}, "thread.steps: Extra inputs"),
        ({"at_ceiling": "beg"}, "at_ceiling: Input should be 'interrupt' or 'error'"),
        (7, "valid dictionary"),
    ],
)
async def test_a_budget_that_cannot_be_understood_is_refused(budget: Any, wrong: str) -> None:
    with pytest.raises(BadInput, match=r"config\.configurable\.budget") as refused:
        budget_of({"config": {"configurable": {"budget": budget}}})
    assert wrong in str(refused.value)
    driven = Driver(for_ever())
    made: dict[str, Any] = {"input": GIVEN, "config": {"configurable": {"budget": budget}}}
    with pytest.raises(BadInput):
        await start_run(driven.rt, NewRun("r", "thread", OWNER, "graph", "graph", made))
    run = await driven.run(GIVEN, config=made["config"])
    assert run.error is not None
    assert run.error["error"] == "BadInput"


async def test_the_api_refuses_it_and_says_what_is_wrong() -> None:
    api = service()
    thread_id = await api.thread()
    asked = {"assistant_id": "steps", "input": {}, **asking(usd="much")}
    refusal = await api.call("POST", f"/threads/{thread_id}/runs", asked, status=422)
    assert "config.configurable.budget: usd: Input should be a valid decimal" in refusal["detail"]


@pytest.mark.parametrize("kwargs", [{}, {"config": None}, {"config": {"configurable": {}}}])
def test_without_a_budget_there_is_no_ceiling(kwargs: dict[str, Any]) -> None:
    assert budget_of(kwargs) == Budget()
    spent = Totals(10**6, 10**12, Decimal(10**6))
    Account(Budget(), spent, spent, 10**6, []).check()


def test_only_an_answer_to_a_ceiling_raises_it() -> None:
    command: Any
    for command in (None, {}, {"resume": True}, {"resume": {"raise_budget": {}, "b": 1}}):
        assert raised({"command": command}) == {"command": command}
    command = {"resume": {"raise_budget": {"usd": 2}}}
    config = {"configurable": {"budget": {"usd": 1, "steps": 5}, "other": 1}}
    told = raised({"command": command, "config": config})
    assert told["config"] == {"configurable": {"budget": {"usd": 2, "steps": 5}, "other": 1}}


def test_outside_a_run_nothing_is_held_to_anything() -> None:
    check(unpriced="llama-5")


@pytest.mark.parametrize(("how", "kind"), [("interrupt", Stopped), ("error", BudgetSpent)])
def test_an_account_that_is_used_up_lets_no_call_through(how: Any, kind: type[Exception]) -> None:
    account = Account(Budget(model_calls=1, at_ceiling=how), Totals(1), Totals(1), 0, [])
    with within(account), pytest.raises(kind):
        check(unpriced=None)


def test_dollars_and_an_unknown_model_do_not_go_together() -> None:
    account = Account(Budget(usd=Decimal(1)), Totals(), Totals(), 0, [])
    with within(account), pytest.raises(PermanentFailure, match="no price"):
        check(unpriced="llama-5")
