"""How many tokens messages have: the API's own count where there is one, else an estimate."""

from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from graph.llm.chat import Claude
from graph.llm.client import count_tokens
from graph.llm.turns import system_of, turns_of

BYTES = 4  # of a token, about, in any script


def estimate(messages: Sequence[BaseMessage]) -> int:
    """About how many; nothing is asked."""
    text = "".join(message.text for message in messages)
    wide = len(text.encode(errors="replace")) / max(len(text), 1)
    return count_tokens_approximately(messages, chars_per_token=BYTES / max(wide, 1.0))


async def count(model: BaseChatModel, messages: Sequence[BaseMessage]) -> int:
    """As the model's API counts them; an estimate for one that does not, or not now."""
    counted = None
    if isinstance(model, Claude):
        system = system_of(messages)
        said = {"system": system} if system else {}
        counted = await count_tokens(messages=turns_of(messages), **said)
    return estimate(messages) if counted is None else counted
