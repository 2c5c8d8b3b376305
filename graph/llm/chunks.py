"""An answer as it comes, as chunks of LangChain's message."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk

from graph.llm.turns import THINKING

if TYPE_CHECKING:
    from anthropic.lib.streaming import AsyncMessageStream
    from anthropic.types import Message

    from graph.llm.batches import Collected

Json = dict[str, Any]


async def chunks_of(
    stream: "AsyncMessageStream[None] | Collected",
) -> AsyncIterator[AIMessageChunk]:
    """Text and calls of tools piece by piece, at last what is known at the end."""
    async for event in stream:
        if event.type == "content_block_start" and event.content_block.type == "tool_use":
            block = event.content_block
            yield _called(event.index, "", name=block.name, id=block.id)
        elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            yield _called(event.index, event.delta.partial_json)
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            yield AIMessageChunk(content=event.delta.text)
    yield _last(await stream.get_final_message())


def _called(index: int, args: str, **begins: str) -> AIMessageChunk:
    names: Json = {"name": None, "id": None, **begins}
    call = tool_call_chunk(args=args, index=index, **names)
    return AIMessageChunk(content="", tool_call_chunks=[call])


def _last(message: "Message") -> AIMessageChunk:
    blocks = (block.to_dict(warnings=False) for block in message.content)
    thinking: list[str | Json] = [block for block in blocks if block["type"] in THINKING]
    usage = message.usage
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    sent = usage.input_tokens + cached + written
    return AIMessageChunk(
        content=thinking or "",
        usage_metadata=UsageMetadata(
            input_tokens=sent,
            output_tokens=usage.output_tokens,
            total_tokens=sent + usage.output_tokens,
            input_token_details={"cache_read": cached, "cache_creation": written},
        ),
        response_metadata={
            "model_name": message.model,
            "model_provider": "anthropic",
            "stop_reason": message.stop_reason,
        },
        chunk_position="last",
    )
