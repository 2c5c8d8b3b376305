"""What nodes ask of any chat model: one validated answer, a decision, or a text.

Followers of a run's messages see texts as they come, and neither answers nor decisions.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.constants import TAG_NOSTREAM
from pydantic import BaseModel

from graph.errors import PermanentFailure

CUT = ("max_tokens", "length")  # how models say that an answer became too long

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply(Generic[Answer]):
    """A validated answer, and the model that gave it."""

    value: Answer
    model: str


@dataclass(frozen=True, slots=True)
class Text:
    """A finished text, and the model that wrote it."""

    text: str
    model: str


async def ask(
    model: BaseChatModel, messages: Sequence[AnyMessage], answer: type[Answer]
) -> Reply[Answer]:
    """What the model calls the tool `answer` with, whose docstring describes it.

    An answer that does not fit is sent back once with what is wrong; then PermanentFailure.
    """
    said = await _asked(model, messages, answer)
    try:
        return Reply(_parsed(said, answer), _name(model, said))
    except ValueError as error:
        corrected = [*messages, _order(answer), *_sent_back(said, str(error))]
    said = await _asked(model, corrected, answer)
    try:
        return Reply(_parsed(said, answer), _name(model, said))
    except ValueError as error:
        raise PermanentFailure(
            f"{_name(model, said)} was asked twice for {answer.__name__} and did not fill it in: "
            f"{error}"
        ) from error


async def decide(
    model: BaseChatModel, messages: Sequence[AnyMessage], answer: type[Answer]
) -> Answer | None:
    """As `ask`, but asked once: None for an answer that does not fit, so that a default may do."""
    try:
        return _parsed(await _asked(model, messages, answer), answer)
    except ValueError:
        return None


async def write(model: BaseChatModel, messages: Sequence[AnyMessage]) -> Text:
    """What the model writes; it says so when the text was cut off."""
    said = await model.ainvoke([*messages])
    facts = said.response_metadata
    cut = facts.get("stop_reason", facts.get("finish_reason")) in CUT
    return Text(said.text + "\n\n(Cut off: the answer became too long.)" * cut, _name(model, said))


async def _asked(
    model: BaseChatModel, messages: Sequence[AnyMessage], answer: type[Answer]
) -> AIMessage:
    tool = {
        "name": answer.__name__,
        "description": inspect.getdoc(answer) or "",
        "input_schema": answer.model_json_schema(),
    }
    # Some models refuse to be forced to call a tool: ask in words instead.
    asked = [*messages, _order(answer)]
    return await model.bind_tools([tool]).ainvoke(asked, {"tags": [TAG_NOSTREAM]})


def _order(answer: type[Answer]) -> HumanMessage:
    return HumanMessage(f"Answer by calling the tool {answer.__name__}, once.")


def _parsed(said: AIMessage, answer: type[Answer]) -> Answer:
    """Raises ValueError that says what is wrong."""
    for call in said.tool_calls:
        if call["name"] == answer.__name__:
            return answer.model_validate(call["args"])
    raise ValueError(f"the tool {answer.__name__} was not called")


def _sent_back(said: AIMessage, wrong: str) -> list[AnyMessage]:
    """An answer that does not fit, and why."""
    results = [
        ToolMessage(wrong, tool_call_id=str(call["id"]), status="error") for call in said.tool_calls
    ]
    return [said, *results, HumanMessage(f"That is not a valid answer: {wrong}")]


def _name(model: BaseChatModel, said: AIMessage) -> str:
    return str(said.response_metadata.get("model_name") or type(model).__name__)
