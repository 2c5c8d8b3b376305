"""LangChain's messages as Anthropic's turns."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

Json = dict[str, Any]

THINKING = ("thinking", "redacted_thinking")  # must come back, unchanged and first


def system_of(messages: Sequence[BaseMessage]) -> str:
    """What the system messages say, wherever they stand."""
    return "\n\n".join(message.text for message in messages if message.type == "system")


def turns_of(messages: Sequence[BaseMessage]) -> list[Json]:
    """The conversation: results of tools called at once, and what is said at once, in one turn."""
    turns: list[Json] = []
    for message in messages:
        if message.type == "system":
            continue
        role = "assistant" if isinstance(message, AIMessage) else "user"
        blocks = list(_blocks(message))
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for calling, next_turn in pairwise(turns):
        if missing := _unanswered(calling, next_turn):
            next_turn["content"] = missing + next_turn["content"]
    return turns


def _unanswered(calling: Json, answering: Json) -> list[Json]:
    """Results for calls that a cancelled run left behind: the API takes no call without one."""
    answered = {block.get("tool_use_id") for block in answering["content"]}
    return [
        {
            "type": "tool_result",
            "tool_use_id": block["id"],
            "content": "This call was not carried out.",
            "is_error": True,
        }
        for block in calling["content"]
        if block["type"] == "tool_use" and block["id"] not in answered
    ]


def _blocks(message: BaseMessage) -> Iterator[Json]:
    if isinstance(message, ToolMessage):
        yield {
            "type": "tool_result",
            "tool_use_id": message.tool_call_id,
            "content": message.text,
            "is_error": message.status == "error",
        }
        return
    parts = [message.content] if isinstance(message.content, str) else message.content
    kinds = [part for part in parts if isinstance(part, dict)]
    yield from (part for part in kinds if part["type"] in THINKING)
    if message.text:
        yield {"type": "text", "text": message.text}
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            yield {
                "type": "tool_use",
                "id": call["id"],
                "name": call["name"],
                "input": call["args"],
            }
