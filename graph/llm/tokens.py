"""How many tokens messages have: the API's own count where there is one, else an estimate."""

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from graph.llm.chat import Claude
from graph.llm.providers import client, keys
from graph.llm.router import model as model_name
from graph.llm.turns import system_of, turns_of

BYTES = 4  # of a token, about, in any script
PATIENCE = 5.0  # seconds for the endpoint


def estimate(messages: Sequence[BaseMessage]) -> int:
    """About how many; nothing is asked."""
    text = "".join(message.text for message in messages)
    wide = len(text.encode(errors="replace")) / max(len(text), 1)
    return count_tokens_approximately(messages, chars_per_token=BYTES / max(wide, 1.0))


async def count(model: BaseChatModel, messages: Sequence[BaseMessage]) -> int:
    """As the model's API counts them; an estimate for one that does not, or not now."""
    counted = await _counted(messages) if isinstance(model, Claude) else None
    return estimate(messages) if counted is None else counted


async def _counted(messages: Sequence[BaseMessage]) -> int | None:
    import anthropic  # noqa: PLC0415 - thousands of modules, wanted only where a model is called

    turns, system = turns_of(messages), system_of(messages)
    request: dict[str, Any] = {"messages": turns, **({"system": system} if system else {})}
    try:
        async with asyncio.timeout(PATIENCE):
            api = client(keys()[0])
            found = await api.messages.count_tokens(model=model_name(), **request)
    except (anthropic.AnthropicError, TimeoutError):  # Ollama has no such endpoint, say
        return None
    return found.input_tokens
