"""Claude, for nodes: one validated tool call, or one text as it streams.

The SDK is loaded on first use. Nothing sleeps here: a busy API raises RetryLater.
"""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from graph import PermanentFailure, RetryLater

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic
    from anthropic.types import Message, MessageParam, ToolParam, ToolResultBlockParam

DEFAULT_MODEL = "claude-haiku-5-5"
OFFLINE_MODEL = "offline-extractive"  # how the local stand-in signs its answers
TIMEOUT = 120.0  # seconds for a whole call, streamed or not
BUSY_WAIT = 5.0  # seconds, when a busy API does not say how long
MAX_TOKENS = 16_000  # thinking counts towards it

Answer = TypeVar("Answer", bound=BaseModel)

_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncAnthropic]" = WeakKeyDictionary()


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
    async with (
        _api() as api,
        api.messages.stream(
            model=_model(), max_tokens=MAX_TOKENS, system=system, messages=messages
        ) as stream,
    ):
        async for piece in stream.text_stream:
            on_text(piece)
        message = await stream.get_final_message()
    _refuse_refusal(message)
    text = "".join(block.text for block in message.content if block.type == "text")
    if message.stop_reason == "max_tokens":
        text += f"\n\n(Cut off: the answer reached {MAX_TOKENS} tokens.)"
    return Text(text, message.model)


async def close() -> None:
    """Close this event loop's client, if it has one."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.close()


async def _call(tool: "ToolParam", messages: "list[MessageParam]", system: str) -> "Message":
    async with _api() as api:
        # Claude Opus and Sonnet 5.5 answer a forced tool choice with a 400: ask in words instead.
        message = await api.messages.create(
            model=_model(),
            max_tokens=MAX_TOKENS,
            system=system,
            messages=messages,
            tools=[tool],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            timeout=TIMEOUT,
        )
    _refuse_refusal(message)
    return message


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


def _refuse_refusal(message: "Message") -> None:
    if message.stop_reason == "refusal":
        raise PermanentFailure(f"{message.model} declined to answer; rephrase the question")


@asynccontextmanager
async def _api() -> "AsyncIterator[AsyncAnthropic]":
    """This event loop's client for one bounded call; a busy API becomes RetryLater."""
    import anthropic  # noqa: PLC0415 - thousands of modules, wanted only where a model is called

    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = anthropic.AsyncAnthropic(
            max_retries=0, timeout=anthropic.Timeout(TIMEOUT, connect=5.0)
        )
        if not (client.api_key or client.auth_token or client.credentials):
            raise PermanentFailure("no credentials for Claude: set ANTHROPIC_API_KEY")
        _clients[loop] = client
    try:
        async with asyncio.timeout(TIMEOUT) as limit:
            yield client
    except anthropic.APIStatusError as error:
        if _is_busy(error):
            raise RetryLater(_wait(error), f"{error.type}: {error.api_message}") from error
        raise
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(f"{_model()} took longer than {TIMEOUT:.0f} s") from error
        raise


def _is_busy(error: "APIStatusError") -> bool:
    # An error inside a stream has the stream's status, 200; only its type tells.
    return error.status_code in (429, 529) or error.type in ("rate_limit_error", "overloaded_error")


def _wait(error: "APIStatusError") -> float:
    try:
        return min(max(float(error.response.headers["retry-after"]), 0.0), 3600.0)
    except (KeyError, ValueError):
        return BUSY_WAIT


def _model() -> str:
    return os.environ.get("BATON_MODEL") or DEFAULT_MODEL
