"""One bounded call to Claude's Messages API, streamed; a busy API becomes RetryLater.

The SDK is loaded on first use. Nothing sleeps here.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from graph import PermanentFailure, RetryLater
from graph.budgets import check
from graph.llm.metering import metered
from graph.llm.prices import is_priced

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncAnthropic
    from anthropic.lib.streaming import AsyncMessageStream

DEFAULT_MODEL = "claude-haiku-5-5"
TIMEOUT = 120.0  # seconds for a whole call
BUSY_WAIT = 5.0  # seconds, when a busy API does not say how long
MAX_TOKENS = 16_000  # of an answer; thinking counts towards it

_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncAnthropic]" = WeakKeyDictionary()


@asynccontextmanager
async def streaming(**request: Any) -> "AsyncIterator[AsyncMessageStream[None]]":
    """The stream of one call, whose request says all but the model and the bounds."""
    check(unpriced=None if is_priced(model()) else model())
    async with (
        _api() as api,
        api.messages.stream(model=model(), max_tokens=MAX_TOKENS, **request) as stream,
    ):
        with metered(stream):
            yield stream
            message = await stream.get_final_message()
        if message.stop_reason == "refusal":
            raise PermanentFailure(f"{message.model} declined to answer; rephrase the question")


async def count_tokens(**request: Any) -> int | None:
    """A prompt's tokens by the API's count; None where it does not count, or not now."""
    import anthropic  # noqa: PLC0415

    try:
        async with _api() as api:
            return (await api.messages.count_tokens(model=model(), **request)).input_tokens
    except (anthropic.APIError, RetryLater):  # Ollama and llama.cpp have no such endpoint
        return None


def model() -> str:
    """The model that is asked: BATON_MODEL, or the default."""
    return os.environ.get("BATON_MODEL") or DEFAULT_MODEL


async def close() -> None:
    """Close this event loop's client, if it has one."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.close()


@asynccontextmanager
async def _api() -> "AsyncIterator[AsyncAnthropic]":
    """This event loop's client, for as long as one call may take."""
    import anthropic  # noqa: PLC0415 - thousands of modules, wanted only where a model is called

    client = _client()
    try:
        async with asyncio.timeout(TIMEOUT) as limit:
            yield client
    except anthropic.APIStatusError as error:
        if _is_busy(error):
            raise RetryLater(_wait(error), f"{error.type}: {error.api_message}") from error
        raise
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(f"{model()} took longer than {TIMEOUT:.0f} s") from error
        raise


def _client() -> "AsyncAnthropic":
    import anthropic  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = anthropic.AsyncAnthropic(
            max_retries=0, timeout=anthropic.Timeout(TIMEOUT, connect=5.0)
        )
        if not (client.api_key or client.auth_token or client.credentials):
            raise PermanentFailure("no credentials for Claude: set ANTHROPIC_API_KEY")
        _clients[loop] = client
    return client


def _is_busy(error: "APIStatusError") -> bool:
    # An error inside a stream has the stream's status, 200; only its type tells.
    return error.status_code in (429, 529) or error.type in ("rate_limit_error", "overloaded_error")


def _wait(error: "APIStatusError") -> float:
    try:
        return min(max(float(error.response.headers["retry-after"]), 0.0), 3600.0)
    except (KeyError, ValueError):
        return BUSY_WAIT
