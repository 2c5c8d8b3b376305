"""One bounded call to Claude's Messages API, streamed: within its budget and the rate limits.

Nothing sleeps here: a call that cannot be made now, or failed, ends the step as RetryLater. In a
run that asked for `batch` the answer is a batch's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from graph.budgets import held
from graph.calls import caller
from graph.errors import PermanentFailure
from graph.llm.batches import Collected, answer_of_batch
from graph.llm.failures import retried
from graph.llm.limits import admitted
from graph.llm.metering import metered, on_record
from graph.llm.providers import TIMEOUT, cached, client, close, keys, sdk
from graph.llm.recorded import COUNT, MESSAGE, answered, on_tape, recorded
from graph.llm.router import call_of, model
from graph.llm.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from anthropic.lib.streaming import AsyncMessageStream
    from anthropic.types import Message

__all__ = ["DEFAULT_MODEL", "MAX_TOKENS", "close", "count_tokens", "model", "streaming"]

MAX_TOKENS = 16_000  # of an answer; thinking counts towards it
COUNT_TIMEOUT = 5.0  # seconds


@asynccontextmanager
async def streaming(**request: Any) -> "AsyncIterator[AsyncMessageStream[None] | Collected]":
    """The stream of one call, whose request says all but the model."""
    request = {"max_tokens": MAX_TOKENS, **request}
    step = caller()
    await sdk()
    if (message := answered(request)) is not None:
        yield Collected(message)
        return
    if step and step.batch:
        message = await answer_of_batch(step, request)
        _keep(request, message)
        yield Collected(message)
        _check(message)
        return
    call = call_of(model(), request)
    async with AsyncExitStack() as around:
        await around.enter_async_context(held(call.ceiling, unpriced=call.unpriced))
        key = await around.enter_async_context(admitted(call))
        api = client(key)
        await around.enter_async_context(on_record(call))
        await around.enter_async_context(retried(call, timeout=TIMEOUT))
        opened = api.messages.stream(model=call.model, **cached(request))
        stream = await around.enter_async_context(opened)
        with metered(stream, call):
            yield stream
            message = await stream.get_final_message()
    _keep(request, message)
    _check(message)


async def count_tokens(**request: Any) -> int | None:
    """The tokens of a request by the API's own count; None where it does not count, or not now."""
    found = recorded(COUNT, request)
    if found is None:
        found = {"input_tokens": await _counted(request)}
        on_tape(COUNT, request, found)
    counted: int | None = found["input_tokens"]
    return counted


async def _counted(request: dict[str, Any]) -> int | None:
    await sdk()
    import anthropic  # thousands of modules, wanted only where a model is called

    try:
        async with asyncio.timeout(COUNT_TIMEOUT):
            api = client(keys()[0])
            counted = await api.messages.count_tokens(model=model(), **request)
    except (anthropic.AnthropicError, PermanentFailure, TimeoutError):
        return None  # Ollama and Bedrock have no such endpoint
    return counted.input_tokens


def _keep(request: dict[str, Any], message: "Message") -> None:
    on_tape(MESSAGE, request, message.to_dict(mode="json"))


def _check(message: "Message") -> None:
    if message.stop_reason == "refusal":
        raise PermanentFailure(f"{message.model} declined to answer; rephrase the question")
