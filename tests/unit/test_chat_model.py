"""Claude as a LangChain chat model: turns out, messages in, tokens as they come."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from graph import PermanentFailure, RetryLater
from graph.llm.chat import Claude
from graph.llm.turns import system_of, turns_of
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

ASKED = HumanMessage("How is the weather in Oslo?")


class Weather(BaseModel):
    """The weather of a city."""

    city: str


WEATHER = {"name": "Weather", "input_schema": Weather.model_json_schema()}


@tool
def tide(harbour: str) -> str:
    """The tide at a harbour."""
    return harbour


def called(*ids: str) -> AIMessage:
    calls = [ToolCall(name="Weather", args={"city": "Oslo"}, id=one) for one in ids]
    return AIMessage("", tool_calls=calls)


def result(call_id: str, text: str = "Cold.") -> ToolMessage:
    return ToolMessage(text, tool_call_id=call_id)


def test_results_of_one_turn_go_back_together_and_first() -> None:
    turns = turns_of([ASKED, called("a", "b"), result("a"), result("b"), HumanMessage("Well?")])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result"] * 2 + ["text"]
    assert [block.get("id") for block in turns[1]["content"]] == ["a", "b"]


def test_a_call_nobody_carried_out_is_answered_all_the_same() -> None:
    turns = turns_of([ASKED, called("a", "b"), result("b"), HumanMessage("Never mind.")])
    first, second, text = turns[2]["content"]
    assert (first["tool_use_id"], first["is_error"]) == ("a", True)
    assert (second["tool_use_id"], second["is_error"]) == ("b", False)
    assert text["text"] == "Never mind."


def test_what_failed_says_so_and_empty_texts_are_left_out() -> None:
    failed = ToolMessage("No.", tool_call_id="a", status="error")
    turns = turns_of([HumanMessage(""), ASKED, called("a"), failed, AIMessage("")])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[2]["content"][0]["is_error"] is True


def test_thinking_goes_back_unchanged_and_first() -> None:
    thought: Any = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    said = AIMessage(["I see. ", thought])
    assert turns_of([said]) == [
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I see. "}]}
    ]


def test_system_messages_are_one_text() -> None:
    messages: list[AnyMessage] = [SystemMessage("Be kind."), ASKED, SystemMessage("Be brief.")]
    assert system_of(messages) == "Be kind.\n\nBe brief."
    assert [turn["role"] for turn in turns_of(messages)] == ["user"]


async def test_an_answer_is_a_message_that_says_what_it_cost(offline: MessagesServer) -> None:
    answer = await Claude().ainvoke([SystemMessage("Be brief."), ASKED])
    assert isinstance(answer, AIMessage)
    assert isinstance(answer.content, str)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["model_name"] == "offline-extractive"
    sent = offline.received[-1]
    assert sent["system"] == "Be brief."
    assert sent["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("made", [Weather, WEATHER, tide])
async def test_tools_in_any_form_are_offered(offline: MessagesServer, made: Any) -> None:
    await Claude().bind_tools([made]).ainvoke([ASKED])
    (offered,) = offline.received[-1]["tools"]
    assert offered["name"] in ("Weather", "tide")
    assert offered["input_schema"]["required"] in (["city"], ["harbour"])


async def test_a_call_comes_back_as_a_tool_call(offline: MessagesServer) -> None:
    answer = await Claude().bind_tools([Weather]).ainvoke([ASKED])
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("Weather", {"city": "How is the weather in Oslo?"})
    again = await Claude().bind_tools([Weather]).ainvoke([ASKED, answer, result(str(call["id"]))])
    assert again.tool_calls == []


async def test_text_and_several_calls_come_back_whole(scripted: list[Any]) -> None:
    calls: list[Any] = [
        {"type": "tool_use", "id": one, "name": "Weather", "input": {"city": one}} for one in "ab"
    ]
    text = "Let me look. " * 9
    scripted += [{"content": [{"type": "text", "text": text}, *calls], "stop_reason": "tool_use"}]
    answer = await Claude().bind_tools([Weather]).ainvoke([ASKED])
    assert answer.content == text
    assert [(c["id"], c["args"]) for c in answer.tool_calls] == [
        ("a", {"city": "a"}),
        ("b", {"city": "b"}),
    ]


async def test_tokens_reach_langgraphs_messages_mode_under_one_id(scripted: list[Any]) -> None:
    text = "The sea is calm, and the light turns through the night. " * 3
    scripted += [text]

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await Claude().ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
    stream: Any = graph.astream({"messages": [ASKED]}, stream_mode="messages")
    seen = [message async for message, meta in stream if meta["langgraph_node"] == "answer"]
    assert len(seen) > 3
    assert all(isinstance(chunk, AIMessageChunk) for chunk in seen)
    assert "".join(chunk.content for chunk in seen) == text
    assert len({chunk.id for chunk in seen}) == 1
    assert seen[-1].usage_metadata


async def test_a_busy_api_and_a_refusal_are_told_apart(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    offline.fail_next(429, retry_after=7)
    with pytest.raises(RetryLater) as caught:
        await Claude().ainvoke([ASKED])
    assert 7 <= caught.value.seconds <= 9
    scripted += [{"stop_reason": "refusal"}]
    with pytest.raises(PermanentFailure, match="declined"):
        await Claude().ainvoke([ASKED])


def test_it_says_that_it_is_asynchronous() -> None:
    with pytest.raises(TypeError, match="ainvoke"):
        Claude().invoke([ASKED])
