"""Notes what a call to Claude spent, also if it broke off or its process died."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from graph.calls import caller
from graph.llm.router import Call
from graph.prices import Tokens, price
from graph.usage import Spent, note

if TYPE_CHECKING:
    from anthropic.lib.streaming import AsyncMessageStream
    from anthropic.types import Message, Usage


@contextmanager
def metered(stream: "AsyncMessageStream[None]", call: Call) -> Iterator[None]:
    """Notes one call when the block ends: what the API has said of it by then."""
    began = time.monotonic()
    try:
        yield
    finally:
        message = _so_far(stream)
        if message is not None:
            ms = round((time.monotonic() - began) * 1000)
            call.made = replace(spent_on(message), call_id=call.id, node=call.most.node, ms=ms)
            note(call.made)


@asynccontextmanager
async def on_record(call: Call) -> AsyncIterator[None]:
    """Notes before the call the most it can cost, if it is held to a ceiling.

    If its process dies, the next attempt at the step counts that; else the step, as it is saved,
    puts what it did cost in its place.
    """
    step = caller()
    if step is None or not step.records:
        yield
        return
    await step.store.open_call(step.whose, call.most)
    try:
        yield
    finally:
        if call.refused:
            await step.store.drop_call(call.id)


def spent_on(message: "Message", *, share: int = 1) -> Spent:
    """What a message cost; `share` divides its price."""
    tokens = _tokens(message.usage)
    usd = price(message.model, tokens)
    return Spent(
        call_id="",
        node="",
        model=message.model,
        input_tokens=tokens.sent,
        output_tokens=tokens.output,
        cached_tokens=tokens.cache_read,
        usd=None if usd is None else usd / Decimal(share),
        ms=0,
    )


def _so_far(stream: "AsyncMessageStream[None]") -> "Message | None":
    try:
        return stream.current_message_snapshot
    except AssertionError:  # the SDK's way to say that nothing has come yet
        return None


def _tokens(usage: "Usage") -> Tokens:
    return Tokens(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_write=usage.cache_creation_input_tokens or 0,
        cache_read=usage.cache_read_input_tokens or 0,
    )
