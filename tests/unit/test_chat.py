"""The chat agent, whole, stepped message by message against the offline model."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from pydantic import BaseModel

from graph.agents import chat
from graph.agents.toolbox import Tool
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


def driver(*tools: Tool) -> Driver:
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
    assert offline.counts["/v1/messages"] == 2


async def test_every_node_is_a_step_of_its_own_and_no_duplicate_takes_one(
    offline: MessagesServer,
) -> None:
    driven = driver()
    await driven.run(say("What is 1 + 1?"))
    # Think, use the tool, think; each message came twice.
    assert driven.outcomes == ["more", "duplicate", "more", "duplicate", "done", "duplicate"]


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
    told = offline.received[1]["messages"][-1]["content"][0]
    assert (told["is_error"], "Field required" in told["content"]) == (True, True)


async def test_calls_made_at_once_are_tasks_at_once_and_answered_in_order(
    scripted: list[Any],
) -> None:
    scripted += [
        calls(*[("calculate", {"expression": f"{n} * 10"}) for n in range(4)]),
        "Done.",
    ]
    driven = driver()
    await driven.run(say("Tens?"))
    results = [m.text for m in await messages(driven) if isinstance(m, ToolMessage)]
    assert results == ["0 * 10 = 0", "1 * 10 = 10", "2 * 10 = 20", "3 * 10 = 30"]
    assert driven.outcomes.count("more") + driven.outcomes.count("done") == 3


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
    scripted += [calls(("calculate", {"expression": "1"}))] * 2 + ["Enough."]
    driven = driver()
    run = await driven.run(say("Count."), context={"max_rounds": 2})
    assert run.status is RunStatus.SUCCESS
    assert (await messages(driven))[-1].text == "Enough."
    choices = [sent.get("tool_choice") for sent in offline.received]
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

    model = Fake(messages=iter([AIMessage("Ahoy.")]))
    driven = Driver(chat.build(model).compile())
    await driven.run(say("Hello"))
    assert (await messages(driven))[-1].text == "Ahoy."


@pytest.mark.parametrize("given", [{"messages": []}, {"messages": [("ai", "Hello")]}])
async def test_a_run_without_a_message_of_the_user_fails_clearly(given: Any) -> None:
    run = await driver().run(given)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert '"role": "user"' in run.error["message"]
