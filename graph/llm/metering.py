"""Notes what a call to Claude spent, also if it broke off."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from langgraph.config import get_config

from graph.llm.prices import Tokens, price
from graph.usage import Spent, note

if TYPE_CHECKING:
    from anthropic.lib.streaming import AsyncMessageStream
    from anthropic.types import Message, Usage


@contextmanager
def metered(stream: "AsyncMessageStream[None]") -> Iterator[None]:
    """Notes one call when the block ends: what the API has said of it by then."""
    began = time.monotonic()
    try:
        yield
    finally:
        message = _so_far(stream)
        if message is not None:
            tokens = _tokens(message.usage)
            note(
                Spent(
                    call_id=str(uuid4()),
                    node=_node(),
                    model=message.model,
                    input_tokens=tokens.sent,
                    output_tokens=tokens.output,
                    cached_tokens=tokens.cache_read,
                    usd=price(message.model, tokens),
                    ms=round((time.monotonic() - began) * 1000),
                )
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


def _node() -> str:
    try:
        return str(get_config()["metadata"].get("langgraph_node", ""))
    except RuntimeError:  # called outside a graph
        return ""
