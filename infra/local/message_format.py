"""Anthropic's Messages API as JSON: requests, the offline model's answers, and their events."""

import json
from collections.abc import Iterator
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, Field

from graph.llm.settings import OFFLINE_MODEL
from infra.local import extractive, tool_choice
from infra.local.digest import digest

Json = dict[str, Any]

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Block(BaseModel, extra="allow"):
    """A piece of a message."""

    type: str


class Turn(BaseModel):
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    def blocks(self) -> list[Json]:
        """Its content as blocks, text in its short form too."""
        if isinstance(self.content, str):
            return [{"type": "text", "text": self.content}]
        return [block.model_dump() for block in self.content]


class Tool(BaseModel):
    """A tool the model may call."""

    name: str
    description: str = ""
    input_schema: Json


class Prompt(BaseModel):
    """What count_tokens takes; fields without a meaning here are ignored."""

    model: str
    messages: list[Turn] = Field(min_length=1)
    system: str | list[Json] = ""
    tools: list[Tool] = []
    tool_choice: Json = {"type": "auto"}

    def tokens(self) -> int:
        return _tokens(self.model_dump_json(include={"messages", "system", "tools"}))


class Call(Prompt):
    """What /v1/messages takes."""

    max_tokens: int = Field(ge=1)
    stream: bool = False


def misused_tools(prompt: Prompt) -> str | None:
    """What is wrong with a request's use of tools, if anything."""
    wanted = prompt.tool_choice.get("name")
    if wanted and wanted not in {tool.name for tool in prompt.tools}:
        return f"tool_choice: tool '{wanted}' not found in provided tools"
    called: set[str | None] = set()
    for turn in prompt.messages:
        for block in turn.blocks():
            if block["type"] == "tool_result" and block.get("tool_use_id") not in called:
                return "messages: tool_result without its tool_use in the turn before"
        called = {block.get("id") for block in turn.blocks() if block["type"] == "tool_use"}
    return None


def error_body(status: int, message: str) -> Json:
    """An error as the API words it."""
    kind = ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def answer(call: Call) -> Json:
    """The whole message the offline model answers with."""
    talk = extractive.read([(turn.role, turn.blocks()) for turn in call.messages])
    tool = _chosen_tool(call, talk)
    stop = "tool_use" if tool else "end_turn"
    if tool:
        value = extractive.fill(tool.input_schema, talk)
        block = {"type": "tool_use", "id": f"toolu_{uuid4().hex}", "name": tool.name}
        content, spent = {**block, "input": value}, _tokens(json.dumps(value))
    else:
        text = _said(call, talk)
        spent = _tokens(text)
        if spent > call.max_tokens:
            text, spent, stop = text[: call.max_tokens * 4], call.max_tokens, "max_tokens"
        content = {"type": "text", "text": text}
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": OFFLINE_MODEL,
        "content": [content],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": call.tokens(), "output_tokens": spent},
    }


def _said(call: Call, talk: extractive.Conversation) -> str:
    if call.tools:
        return tool_choice.reply(talk, _results(call))
    last = "\n".join(block.get("text", "") for block in call.messages[-1].blocks())
    return digest(last) or extractive.report(talk)


def _chosen_tool(call: Call, talk: extractive.Conversation) -> Tool | None:
    """The forced tool; else the only one until it has answered; else one the question asks for."""
    how = call.tool_choice.get("type")
    if not call.tools or how == "none":
        return None
    if how == "tool":
        return next(tool for tool in call.tools if tool.name == call.tool_choice["name"])
    results = [block for _, block in _results(call)]
    if len(call.tools) == 1 or how == "any":
        answered = how == "auto" and any(not block.get("is_error") for block in results)
        return None if answered else call.tools[0]
    if results:
        return None
    chosen = tool_choice.choose([tool.model_dump() for tool in call.tools], talk)
    return next((tool for tool in call.tools if chosen and tool.name == chosen["name"]), None)


def _results(call: Call) -> list[tuple[str, Json]]:
    """What tools returned just now, each with the tool's name."""
    blocks = [block for turn in call.messages for block in turn.blocks()]
    names = {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
    return [
        (names[block["tool_use_id"]], block)
        for block in call.messages[-1].blocks()
        if block["type"] == "tool_result"
    ]


def events(message: Json) -> Iterator[str]:
    """The message as the server-sent events that build it up."""
    opening = message | {"content": [], "stop_reason": None}
    opening["usage"] = message["usage"] | {"output_tokens": 1}
    yield event("message_start", message=opening)
    for index, block in enumerate(message["content"]):
        empty: Json = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield event("content_block_start", index=index, content_block=block | empty)
        if index == 0:
            yield event("ping")
        for delta in _deltas(block):
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    spent = {"output_tokens": message["usage"]["output_tokens"]}
    yield event("message_delta", delta=end, usage=spent)
    yield event("message_stop")


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        whole, kind, field = block["text"], "text_delta", "text"
    else:
        whole, kind, field = json.dumps(block["input"]), "input_json_delta", "partial_json"
    for start in range(0, len(whole), 40):
        yield {"type": kind, field: whole[start : start + 40]}


def event(name: str, **data: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"


def _tokens(text: str) -> int:
    return len(text) // 4 + 1
