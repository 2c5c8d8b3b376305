"""What nodes ask of a chat model, of any: one validated answer, a decision, or a text."""

from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolCall
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, Field

from graph import PermanentFailure
from graph.llm.asking import Reply, Text, ask, decide, write
from graph.llm.chat import Claude
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted


class Colour(BaseModel):
    """Name a colour."""

    name: str = Field(max_length=10)


class Fake(GenericFakeChatModel):
    """Somebody else's chat model, which says what it is given to say."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def said(text: str) -> list[AnyMessage]:
    return [SystemMessage("Answer."), HumanMessage(text)]


def called(**args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[ToolCall(name="Colour", args=args, id="1")])


async def test_an_answer_is_validated_and_names_its_model(offline: MessagesServer) -> None:
    reply = await ask(Claude(), said("<question>Red?</question>"), Colour)
    assert reply == Reply(Colour(name="Red?"), "offline-extractive")
    sent = offline.received[-1]
    assert sent["model"] == "claude-haiku-5-5"
    assert sent["tools"][0]["name"] == "Colour"
    assert sent["tools"][0]["description"] == "Name a colour."
    assert not {"temperature", "top_p", "thinking", "tool_choice"} & sent.keys()


async def test_a_wrong_answer_is_sent_back_once_with_what_is_wrong(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"name": "a colour far too long"}, {"name": "teal"}]
    reply = await ask(Claude(), said("Which?"), Colour)
    assert reply.value.name == "teal"
    _, assistant, correction = offline.received[-1]["messages"]
    assert assistant["content"][0]["input"] == {"name": "a colour far too long"}
    result, *orders = correction["content"]
    assert result["tool_use_id"] == assistant["content"][0]["id"]
    assert result["is_error"] is True
    assert "at most 10 characters" in result["content"]
    assert "Colour" in orders[-1]["text"]


async def test_text_instead_of_a_tool_call_is_asked_for_again(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += ["Teal, I think.", {"name": "teal"}]
    assert (await ask(Claude(), said("Which?"), Colour)).value.name == "teal"
    assert "was not called" in offline.received[-1]["messages"][-1]["content"][0]["text"]


async def test_an_empty_answer_is_asked_for_again(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"content": []}, {"name": "teal"}]
    assert (await ask(Claude(), said("Which?"), Colour)).value.name == "teal"
    assert [turn["role"] for turn in offline.received[-1]["messages"]] == ["user"]


async def test_two_wrong_answers_end_in_a_clear_error(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"name": 1}, {"colour": "teal"}]
    with pytest.raises(PermanentFailure, match=r"asked twice for Colour.*(?s:.*)Field required"):
        await ask(Claude(), said("Which?"), Colour)
    assert offline.counts["/v1/messages"] == 2


async def test_any_chat_model_may_be_asked() -> None:
    model = Fake(messages=iter([called(name=1), called(name="teal"), AIMessage("Teal.")]))
    assert await ask(model, said("Which?"), Colour) == Reply(Colour(name="teal"), "Fake")
    assert await write(model, said("Which?")) == Text("Teal.", "Fake")


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (called(name="teal"), Colour(name="teal")),
        (called(name="a colour far too long"), None),
        (called(), None),
        (AIMessage("Teal, I think."), None),
        (AIMessage("", tool_calls=[ToolCall(name="Hue", args={"name": "teal"}, id="1")]), None),
    ],
)
async def test_a_decision_is_validated_and_asked_for_once(
    answer: AIMessage, decision: Colour | None
) -> None:
    model = Fake(messages=iter([answer]))
    assert await decide(model, said("Which?"), Colour) == decision


@pytest.mark.parametrize("facts", [{"stop_reason": "max_tokens"}, {"finish_reason": "length"}])
async def test_a_text_that_was_cut_off_says_so(facts: dict[str, str]) -> None:
    model = Fake(messages=iter([AIMessage("Half", response_metadata=facts)]))
    written = await write(model, said("Hello"))
    assert written.text == "Half\n\n(Cut off: the answer became too long.)"


async def test_followers_see_texts_come_and_no_decisions(scripted: list[Any]) -> None:
    text = "The sea is calm, and the light turns through the night. " * 3
    scripted += [{"name": "teal"}, {"name": "teal"}, text]

    async def work(state: MessagesState) -> Any:
        await decide(Claude(), said("Which?"), Colour)
        await ask(Claude(), said("Which?"), Colour)
        return {"messages": [AIMessage((await write(Claude(), said("Well?"))).text, id="done")]}

    graph = StateGraph(MessagesState).add_node("work", work).add_edge(START, "work").compile()
    stream: Any = graph.astream({"messages": []}, stream_mode="messages")
    seen = [message async for message, _ in stream if message.id != "done"]
    assert len(seen) > 3
    assert "".join(message.text for message in seen) == text
