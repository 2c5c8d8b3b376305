"""Claude, for nodes: one validated tool call, or one text as it streams.

A whole conversation with tools is graph/llm/chat.py's.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from graph import PermanentFailure
from graph.llm.client import MAX_TOKENS, streaming

if TYPE_CHECKING:
    from anthropic.types import Message, MessageParam, ToolParam, ToolResultBlockParam

OFFLINE_MODEL = "offline-extractive"  # how the local stand-in signs its answers

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply(Generic[Answer]):
    """A validated tool call, and the model that made it."""

    value: Answer
    model: str


@dataclass(frozen=True, slots=True)
class Text:
    """A finished text, and the model that wrote it."""

    text: str
    model: str


async def ask(prompt: str, answer: type[Answer], *, system: str) -> Reply[Answer]:
    """Have Claude answer by calling a tool whose input is `answer`; its docstring describes it.

    An answer that does not fit is sent back once with what is wrong; then PermanentFailure.
    """
    tool: ToolParam = {
        "name": answer.__name__,
        "description": inspect.getdoc(answer) or "",
        "input_schema": answer.model_json_schema(),
    }
    order = f"{prompt}\n\nAnswer by calling the tool {answer.__name__}, once."
    messages: list[MessageParam] = [{"role": "user", "content": order}]
    message = await _call(tool, messages, system)
    try:
        return Reply(_parse(message, answer), message.model)
    except ValueError as error:
        messages += _send_back(message, answer.__name__, str(error))
    message = await _call(tool, messages, system)
    try:
        return Reply(_parse(message, answer), message.model)
    except ValueError as error:
        raise PermanentFailure(
            f"{message.model} was asked twice for {answer.__name__} and did not fill it in: {error}"
        ) from error


async def write(prompt: str, *, system: str, on_text: Callable[[str], None]) -> Text:
    """Have Claude write; `on_text` gets each piece as it arrives."""
    messages: list[MessageParam] = [{"role": "user", "content": prompt}]
    async with streaming(system=system, messages=messages) as stream:
        async for piece in stream.text_stream:
            on_text(piece)
        message = await stream.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    if message.stop_reason == "max_tokens":
        text += f"\n\n(Cut off: the answer reached {MAX_TOKENS} tokens.)"
    return Text(text, message.model)


async def _call(tool: "ToolParam", messages: "list[MessageParam]", system: str) -> "Message":
    async with streaming(
        system=system,
        messages=messages,
        tools=[tool],
        # Claude Opus and Sonnet 5.5 answer a forced tool choice with a 400: ask in words instead.
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    ) as stream:
        return await stream.get_final_message()


def _parse(message: "Message", answer: type[Answer]) -> Answer:
    for block in message.content:
        if block.type == "tool_use" and block.name == answer.__name__:
            return answer.model_validate(block.input)
    raise ValueError(f"the tool {answer.__name__} was not called")


def _send_back(message: "Message", tool: str, wrong: str) -> "list[MessageParam]":
    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": block.id, "is_error": True, "content": wrong}
        for block in message.content
        if block.type == "tool_use"
    ]
    order = f"That is not a valid answer: {wrong}\nCall the tool {tool} again, correctly."
    again: MessageParam = {
        "role": "user",
        "content": [*results, {"type": "text", "text": order}],
    }
    return [message.to_param(), again] if message.content else [again]
