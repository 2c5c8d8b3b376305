"""The chat agent, whole, stepped message by message against the offline model."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel

from graph.adapters.memory.long_term import MemoryLongTerm
from graph.agents import chat
from graph.agents.toolbox import Tool
from graph.agents.tools import TOOLS
from graph.llm.window import Window
from graph.runtime.models import RunStatus
from infra.local.messages import MessagesServer
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def calls(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What a model answers that calls these tools."""
    blocks = [
        {"type": "tool_use", "id": f"call{n}", "name": name, "input": args}
        for n, (name, args) in enumerate(wanted)
    ]
    return {"content": blocks, "stop_reason": "tool_use"}


ROUTE = {"topic": "anything"}


def driver(*tools: Tool) -> Driver:
    """Tools without a topic are offered without a route being asked for."""
    return Driver((chat.build(tools=tools) if tools else chat.build()).compile(), deliveries=2)


async def messages(driver: Driver) -> list[AnyMessage]:
    return list((await driver.values())["messages"])


async def test_it_calls_a_tool_and_answers_with_its_result(offline: MessagesServer) -> None:
    driven = driver()
    run = await driven.run(say("What is 17 * (23 + 4)?"))
    assert run.status is RunStatus.SUCCESS
    _, call, result, answer = await messages(driven)
    assert isinstance(call, AIMessage)
    assert call.tool_calls[0]["args"] == {"expression": "17 * (23 + 4)"}
    assert isinstance(result, ToolMessage)
    assert result.content == "17 * (23 + 4) = 459"
    assert "459" in answer.text
    assert offline.counts["/v1/messages"] == 3  # one of them chose the route


async def test_every_node_is_a_step_of_its_own_and_no_duplicate_takes_one(
    offline: MessagesServer,
) -> None:
    driven = driver()
    await driven.run(say("What is 1 + 1?"))
    # Route, think, use the tool, think; each message came twice.
    assert driven.outcomes == ["more", "duplicate"] * 3 + ["done", "duplicate"]


async def test_a_second_turn_knows_the_first(offline: MessagesServer) -> None:
    driven = driver()
    await driven.run(say("What is 1 + 1?"))
    await driven.run(say("What is 2 + 2?"))
    assert [m.type for m in await messages(driven)] == ["human", "ai", "tool", "ai"] * 2
    sent = offline.received[-1]["messages"]
    assert [turn["role"] for turn in sent] == [*["user", "assistant"] * 3, "user"]
    assert "4" in (await messages(driven))[-1].text


async def test_it_corrects_a_call_that_failed(offline: MessagesServer, scripted: list[Any]) -> None:
    scripted += [
        ROUTE,
        calls(("calculate", {"expr": "1 + 1"})),
        calls(("calculate", {"expression": "1 +"})),
        calls(("calculate", {"expression": "1 + 1"})),
        "It is 2.",
    ]
    driven = driver()
    run = await driven.run(say("What is one and one?"))
    assert run.status is RunStatus.SUCCESS
    results = [m for m in await messages(driven) if isinstance(m, ToolMessage)]
    assert [m.status for m in results] == ["error", "error", "success"]
    assert "expression: Field required" in results[0].text
    assert "not an arithmetic expression" in results[1].text
    told = offline.received[2]["messages"][-1]["content"][0]
    assert (told["is_error"], "Field required" in told["content"]) == (True, True)


async def test_calls_made_at_once_are_tasks_at_once_and_answered_in_order(
    scripted: list[Any],
) -> None:
    scripted += [
        ROUTE,
        calls(*[("calculate", {"expression": f"{n} * 10"}) for n in range(4)]),
        "Done.",
    ]
    driven = driver()
    await driven.run(say("Tens?"))
    results = [m.text for m in await messages(driven) if isinstance(m, ToolMessage)]
    assert results == ["0 * 10 = 0", "1 * 10 = 10", "2 * 10 = 20", "3 * 10 = 30"]
    assert driven.outcomes.count("more") + driven.outcomes.count("done") == 4


class Nothing(BaseModel):
    """Do something."""


async def test_a_tool_that_hangs_does_not_stop_the_conversation(scripted: list[Any]) -> None:
    async def hang(_: Nothing) -> str:
        await asyncio.sleep(60)
        return "late"

    scripted += [calls(("hang", {})), "I could not."]
    driven = driver(Tool("hang", Nothing, hang, failed="It hangs.", timeout=0.01))
    run = await driven.run(say("Do it."))
    assert run.status is RunStatus.SUCCESS
    assert [m.text for m in await messages(driven)][2:] == [
        "It hangs. It took longer than 0.01 s.",
        "I could not.",
    ]


async def test_a_model_that_calls_tools_for_ever_must_answer_in_the_end(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [ROUTE, *[calls(("calculate", {"expression": "1"}))] * 2, "Enough."]
    driven = driver()
    run = await driven.run(say("Count."), context={"max_rounds": 2})
    assert run.status is RunStatus.SUCCESS
    assert (await messages(driven))[-1].text == "Enough."
    choices = [sent.get("tool_choice") for sent in offline.received][1:]
    assert choices == [None, None, {"type": "none"}]


async def test_a_busy_model_is_asked_again_later(offline: MessagesServer) -> None:
    offline.fail_next(429, retry_after=30)
    driven = driver()
    run = await driven.run(say("What is 1 + 1?"))
    assert run.status is RunStatus.SUCCESS
    assert driven.outcomes.count("later") == 1


async def test_another_chat_model_may_take_its_place() -> None:
    from langchain_core.language_models import GenericFakeChatModel

    class Fake(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

    model = Fake(messages=iter([AIMessage("No route."), AIMessage("Ahoy.")]))
    driven = Driver(chat.build(model).compile())
    await driven.run(say("Hello"))
    assert (await messages(driven))[-1].text == "Ahoy."


def offered(sent: dict[str, Any]) -> set[str]:
    return {tool["name"] for tool in sent["tools"]}


async def test_a_route_offers_the_tools_of_its_topic_and_a_way_to_all_others(
    offline: MessagesServer,
) -> None:
    await driver().run(say("Calculate 17 * (23 + 4)."))
    route, think, again = offline.received
    assert offered(route) == {"Route"}
    everywhere = {"remember", "recall", "read_result", "more_tools"}
    assert offered(think) == {"calculate", *everywhere}
    assert {tool.name for tool in TOOLS} == offered(again)


async def test_a_wrong_route_costs_a_call_and_nothing_else(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [
        {"topic": "orders"},
        calls(("more_tools", {})),
        calls(("calculate", {"expression": "6 * 7"})),
        "42.",
    ]
    driven = driver()
    assert (await driven.run(say("What is six times seven?"))).status is RunStatus.SUCCESS
    texts = [m.text for m in await messages(driven) if isinstance(m, ToolMessage)]
    assert texts == ["All tools are at hand now.", "6 * 7 = 42"]
    assert "calculate" not in offered(offline.received[1])
    assert "calculate" in offered(offline.received[2])


async def test_a_tool_of_another_topic_is_carried_out_all_the_same(scripted: list[Any]) -> None:
    scripted += [{"topic": "orders"}, calls(("calculate", {"expression": "6 * 7"})), "42."]
    driven = driver()
    await driven.run(say("What is six times seven?"))
    assert (await messages(driven))[2].text == "6 * 7 = 42"


@pytest.mark.parametrize(
    "answer",
    [{"topic": "love"}, {"topic": ["orders"]}, {}, "I would say orders.", calls(("x", {}))],
)
async def test_a_route_that_cannot_be_used_offers_all_tools(
    offline: MessagesServer, scripted: list[Any], answer: Any
) -> None:
    scripted += [answer, "Hello."]
    driven = driver()
    assert (await driven.run(say("Hello"))).status is RunStatus.SUCCESS
    assert offered(offline.received[1]) == {tool.name for tool in TOOLS}
    assert [m.text for m in await messages(driven)] == ["Hello", "Hello."]


async def test_a_route_is_chosen_by_the_last_words_only(offline: MessagesServer) -> None:
    driven = driver()
    for n in range(4):
        await driven.run(say(f"What is {n} + 1? " + "x" * 5000))
    routes = [sent for sent in offline.received if offered(sent) == {"Route"}]
    assert len(str(routes[-1]["messages"])) < 4000


async def test_what_the_user_wanted_remembered_is_at_hand_on_the_next_thread(
    offline: MessagesServer,
) -> None:
    kept = MemoryLongTerm()
    first = Driver(chat.graph.compile(), deliveries=2, long_term=kept)
    await first.run(say("Remember that I like tea, not coffee."))
    assert (await messages(first))[2].text.startswith("Remembered: ")
    second = Driver(chat.graph.compile(), thread_id="later", long_term=kept)
    await second.run(say("Hello"))
    assert "- Remember that I like tea, not coffee." in str(offline.received[-1]["system"])


async def test_without_a_long_term_store_the_model_is_told_so(offline: MessagesServer) -> None:
    driven = driver()
    await driven.run(say("Remember that I like tea."))
    _, _, result, _ = await messages(driven)
    assert isinstance(result, ToolMessage)
    assert (result.status, "no long-term store" in result.text) == ("error", True)


async def test_a_turn_that_makes_the_conversation_long_is_closed_with_a_summary(
    offline: MessagesServer,
) -> None:
    window = Window(limit=600, keep=300)
    few = [tool for tool in TOOLS if tool.name in ("calculate", "read_result")]
    driven = Driver(chat.build(tools=few, window=window).compile(), deliveries=2)
    for n in range(5):
        await driven.run(say(f"My wish {n} is this. " + "la " * 150))
    values = await driven.values()
    assert len(values["messages"]) == 10
    assert "My wish 1 is this." in values["summary"]["text"]
    assert "<summary>" in str(offline.received[-1]["messages"])


@pytest.mark.parametrize("own", [None, InMemoryStore()], ids=["batons", "the graphs own"])
async def test_a_long_result_is_cut_and_read_on(
    scripted: list[Any], own: InMemoryStore | None
) -> None:
    class Nothing(BaseModel):
        """Say much."""

    async def much(_: Nothing) -> str:
        return "".join(f"<{n:05}>" for n in range(1500))

    read = next(tool for tool in TOOLS if tool.name == "read_result")
    scripted += [
        calls(("much", {})),
        calls(("read_result", {"result_id": "call0", "start": 6000})),
        calls(("read_result", {"result_id": "nobody", "start": 0})),
        "Read.",
    ]
    built = chat.build(tools=(Tool("much", Nothing, much, failed="No."), read))
    driven = Driver(built.compile(store=own), long_term=MemoryLongTerm())
    assert (await driven.run(say("Go on."))).status is RunStatus.SUCCESS
    cut, rest, missing = (m for m in await messages(driven) if isinstance(m, ToolMessage))
    assert cut.text.startswith("<00000>")
    assert 'result_id "call0" and start 6000' in cut.text
    whole = cut.text.partition("\n")[0] + rest.text
    assert whole == await much(Nothing())
    assert (missing.status, "call the tool again" in missing.text) == ("error", True)


@pytest.mark.parametrize("given", [{"messages": []}, {"messages": [("ai", "Hello")]}])
async def test_a_run_without_a_message_of_the_user_fails_clearly(given: Any) -> None:
    run = await driver().run(given)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert '"role": "user"' in run.error["message"]
