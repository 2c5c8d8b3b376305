"""A decision by any chat model, validated; whoever asks has a default for when there is none."""

import inspect
from collections.abc import Sequence
from typing import TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.constants import TAG_NOSTREAM
from pydantic import BaseModel, ValidationError

Answer = TypeVar("Answer", bound=BaseModel)


async def decide(
    model: BaseChatModel, messages: Sequence[AnyMessage], answer: type[Answer]
) -> Answer | None:
    """What the model calls the tool `answer` with, whose docstring describes it.

    None for anything else it says. It is not streamed to those who follow the run's messages.
    """
    tool = {
        "name": answer.__name__,
        "description": inspect.getdoc(answer) or "",
        "input_schema": answer.model_json_schema(),
    }
    # Some models refuse to be forced to call a tool: ask in words instead.
    order = HumanMessage(f"Answer by calling the tool {answer.__name__}, once.")
    said = await model.bind_tools([tool]).ainvoke([*messages, order], {"tags": [TAG_NOSTREAM]})
    for call in said.tool_calls if isinstance(said, AIMessage) else ():
        if call["name"] == answer.__name__:
            try:
                return answer.model_validate(call["args"])
            except ValidationError:
                return None
    return None
