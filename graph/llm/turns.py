"""LangChain's messages as Anthropic's turns, and an answer back as LangChain's message."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk

if TYPE_CHECKING:
    from anthropic.types import Message

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


def last_chunk(message: "Message") -> AIMessageChunk:
    """What a finished answer has beside the text that was streamed."""
    blocks = [block.to_dict(warnings=False) for block in message.content]
    thinking: list[str | Json] = [block for block in blocks if block["type"] in THINKING]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    usage = message.usage
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    sent = usage.input_tokens + cached + written
    return AIMessageChunk(
        content=thinking or "",
        tool_call_chunks=[
            tool_call_chunk(
                name=str(call["name"]), args=json.dumps(call["input"]), id=str(call["id"]), index=n
            )
            for n, call in enumerate(calls)
        ],
        usage_metadata=UsageMetadata(
            input_tokens=sent,
            output_tokens=usage.output_tokens,
            total_tokens=sent + usage.output_tokens,
            input_token_details={"cache_read": cached, "cache_creation": written},
        ),
        response_metadata={"model_name": message.model, "stop_reason": message.stop_reason},
        chunk_position="last",
    )
