"""A project's own chat models and tools: rows of usage, and held to the run's budget."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send
from pydantic import Field

from graph.budgets import Account, Stopped, check_tool, within
from graph.ceilings import Budget
from graph.counting import Counting, counting
from graph.llm.chat import Claude
from graph.runtime.models import RunStatus
from graph.usage import NOTHING, Totals, noting
from infra.local.messages import MessagesServer
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.unit.test_budgets import asking, question, resume

GIVEN: dict[str, Any] = {"messages": [("user", "Hello")]}
USAGE: Any = {
    "input_tokens": 1000,
    "output_tokens": 100,
    "total_tokens": 1100,
    "input_token_details": {"cache_read": 200},
}
COST = Decimal("0.000132")  # 800 sent, 200 from the cache, 100 received


class Other(BaseChatModel):
    """A chat model as a project brings one, with what it shall call; it counts its calls."""

    model: str = "claude-haiku-5-5"
    says: list[AIMessage] = Field(default_factory=list)
    seen: list[str] = Field(default_factory=list)
    breaks: bool = False

    @property
    def _llm_type(self) -> str:
        return "other"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages[-1].text)
        if self.breaks:
            raise ConnectionError("gone")
        said = self.says.pop(0) if self.says else AIMessage("Hm.")
        facts = {"usage_metadata": USAGE, "response_metadata": {"model_name": self.model}}
        return ChatResult(generations=[ChatGeneration(message=said.model_copy(update=facts))])


@tool
def tide(harbour: str) -> str:
    """The tide at a harbour."""
    if harbour == "nowhere":
        raise KeyError(harbour)
    return "high"


def calling(*harbours: str) -> AIMessage:
    calls = [ToolCall(name="tide", args={"harbour": one}, id=one) for one in harbours]
    return AIMessage("", tool_calls=calls)


def thinking(model: Any) -> Any:
    async def think(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return think


def for_ever(node: Any) -> Any:
    built = StateGraph(MessagesState).add_node("think", node)
    return built.add_edge(START, "think").add_edge("think", "think").compile()


def agent(model: Any) -> Any:
    built = StateGraph(MessagesState).add_node("think", thinking(model))
    built.add_node("tools", ToolNode([tide]))
    built.add_edge(START, "think").add_edge("tools", "think")
    built.add_conditional_edges(
        "think", lambda state: "tools" if state["messages"][-1].tool_calls else "__end__"
    )
    return built.compile()


def rows(driven: Driver) -> list[Any]:
    return [row.spent for row in driven.store.tables.calls]


async def test_calls_of_ones_own_models_and_tools_are_rows() -> None:
    driven = Driver(agent(Other(says=[calling("Oslo", "Bergen")])), deliveries=2)
    run = await driven.run(GIVEN)
    assert run.status is RunStatus.SUCCESS, run.error
    assert [(s.node, s.model) for s in rows(driven)] == [
        ("think", "claude-haiku-5-5"),
        ("tools", "tool:tide"),
        ("tools", "tool:tide"),
        ("think", "claude-haiku-5-5"),
    ]
    first = rows(driven)[0]
    assert (first.input_tokens, first.output_tokens, first.cached_tokens) == (1000, 100, 200)
    assert run.spent == Totals(2, 2200, 2 * COST, 2) == (await driven.thread()).spent


@pytest.mark.parametrize(
    ("budget", "calls"),
    [({"model_calls": 3}, 3), ({"tokens": 2201}, 3), ({"usd": float(COST * 2)}, 2)],
)
async def test_a_loop_stops_at_its_ceiling_and_goes_on_when_it_is_raised(
    budget: dict[str, Any], calls: int
) -> None:
    model = Other()
    driven = Driver(for_ever(thinking(model)), deliveries=2)
    run = await driven.run(GIVEN, **asking(**budget))
    assert run.status is RunStatus.INTERRUPTED
    assert len(model.seen) == run.spent.calls == calls
    asked = await question(driven)
    assert (await resume(driven, asked["answer_with"])).spent.calls >= calls


async def test_a_model_that_is_called_in_a_thread_is_held_too() -> None:
    model = Other()

    def think(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    run = await Driver(for_ever(think)).run(GIVEN, **asking(model_calls=2))
    assert (run.status, run.spent.calls, len(model.seen)) == (RunStatus.INTERRUPTED, 2, 2)


async def test_calls_made_at_once_keep_to_a_number_of_calls() -> None:
    model = Other()

    async def each(state: Any) -> None:
        await model.ainvoke("Hello")

    built = StateGraph(MessagesState).add_node("each", each)
    built.add_conditional_edges(START, lambda _: [Send("each", {})] * 5, ["each"])
    run = await Driver(built.compile()).run(GIVEN, **asking(model_calls=3))
    assert (run.status, run.spent.calls, len(model.seen)) == (RunStatus.INTERRUPTED, 3, 3)


async def test_tools_of_ones_own_have_a_ceiling() -> None:
    driven = Driver(agent(Other(says=[calling("a", "b", "c")])))
    run = await driven.run(GIVEN, **asking(tool_calls=2))
    assert (run.status, run.spent.tool_calls) == (RunStatus.INTERRUPTED, 2)
    assert (await question(driven))["ceiling"] == {"tool_calls": 2}
    run = await resume(driven, {"raise_budget": {"tool_calls": 9}})
    assert run.status is RunStatus.SUCCESS, run.error


def test_threads_at_once_do_not_pass_a_ceiling_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_check() -> None:
        check_tool()
        time.sleep(0.001)

    monkeypatch.setattr("graph.counting.check_tool", slow_check)
    with noting() as rows, within(Account(Budget(tool_calls=2), NOTHING, NOTHING, 0, rows)):
        counted = Counting()

        def begin() -> bool:
            try:
                counted.on_tool_start({"name": "tide"}, "", run_id=uuid4())
            except Stopped:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            contexts = [copy_context() for _ in range(8)]
            begun = list(pool.map(lambda context: context.run(begin), contexts))
    assert begun.count(True) == len(rows) == 2


async def test_what_failed_is_a_row_all_the_same() -> None:
    driven = Driver(for_ever(thinking(Other(breaks=True))))
    run = await driven.run(GIVEN)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert run.error["error"] == "ConnectionError"
    assert run.spent == Totals(calls=1)
    driven = Driver(agent(Other(says=[calling("nowhere")])))
    assert (await driven.run(GIVEN)).status is RunStatus.ERROR
    assert rows(driven)[-1].model == "tool:tide"


async def test_a_model_without_a_price_cannot_be_held_to_dollars() -> None:
    model = Other(model="gpt-9")
    run = await Driver(for_ever(thinking(model))).run(GIVEN, **asking(usd=1))
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert "gpt-9 has no price" in run.error["message"]
    assert model.seen == []
    driven = Driver(for_ever(thinking(model)))
    run = await driven.run(GIVEN, **asking(tokens=1))
    assert [(s.model, s.usd) for s in rows(driven)] == [("gpt-9", None)]


async def test_a_model_that_takes_text_and_tells_no_usage_is_counted() -> None:
    model = FakeListLLM(responses=["Hm."])

    async def say(state: MessagesState) -> Any:
        return {"messages": [("ai", await model.ainvoke("Hello"))]}

    run = await Driver(for_ever(say)).run(GIVEN, **asking(model_calls=2))
    assert (run.status, run.spent) == (RunStatus.INTERRUPTED, Totals(calls=2))


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, (0, 0, 0)),
        ({"output_tokens": 5}, (0, 5, 0)),
        ({"input_tokens": None, "output_tokens": "many"}, (0, 0, 0)),
        ({"input_tokens": 3, "input_token_details": {"cache_read": 9}}, (3, 0, 9)),
        ({"input_tokens": -1, "output_tokens": 2.0, "input_token_details": None}, (0, 2, 0)),
    ],
)
async def test_a_model_that_tells_half_or_nonsense_ends_no_step(
    usage: dict[str, Any], tokens: tuple[int, int, int]
) -> None:
    class Odd(Other):
        """Tells its usage as it likes."""

        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            said = AIMessage.model_construct(content="Hm.", usage_metadata=usage)
            return ChatResult(generations=[ChatGeneration.model_construct(message=said)])

    with noting() as rows, counting():
        await Odd().ainvoke("Hello")
    (row,) = rows
    assert (row.input_tokens, row.output_tokens, row.cached_tokens) == tokens


async def test_what_the_model_layer_counts_is_not_counted_twice(offline: MessagesServer) -> None:
    driven = Driver(for_ever(thinking(Claude())))
    run = await driven.run(GIVEN, **asking(model_calls=2))
    assert run.spent.calls == len(rows(driven)) == offline.counts["/v1/messages"] == 2


async def test_a_call_with_callbacks_of_its_own_is_counted_too() -> None:
    class Own(BaseCallbackHandler):
        """Hears of models."""

        heard = 0

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            self.heard += 1

    own = Own()

    async def think(state: MessagesState) -> Any:
        return {"messages": [await Other().ainvoke("Hello", {"callbacks": [own]})]}

    built = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think")
    driven = Driver(built.compile())
    run = await driven.run(GIVEN)
    assert (own.heard, run.spent.calls) == (1, 1)
