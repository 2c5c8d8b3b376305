"""Calls that batches answer, at half the price: asked by a step, sent and fetched by the sweep.

A call is named by its step, its task and what it says, so that a step that is taken again finds
its answer, and nothing is sent twice.
"""

import hashlib
import json
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from graph.budgets import commit
from graph.calls import BatchCall, Caller
from graph.effects import effect_key
from graph.errors import PermanentFailure
from graph.llm.router import call_of, model, node_name
from graph.llm.settings import model_settings
from graph.signals import RetryLater

if TYPE_CHECKING:
    from anthropic.types import Message, RawMessageStreamEvent

SHARE = 2  # a batch costs half
LOOK_AGAIN = 900.0  # seconds; an answer ends the wait


class Collected:
    """An answer that is there already, in the form of a stream."""

    def __init__(self, message: "Message") -> None:
        self._message = message

    async def __aiter__(self) -> "AsyncIterator[RawMessageStreamEvent]":
        from anthropic.types import (  # thousands of modules
            InputJSONDelta,
            RawContentBlockDeltaEvent,
            RawContentBlockStartEvent,
            TextDelta,
        )

        for index, block in enumerate(self._message.content):
            kind: Any = {"type": "content_block_delta", "index": index}
            if block.type == "text":
                text = TextDelta(type="text_delta", text=block.text)
                yield RawContentBlockDeltaEvent(delta=text, **kind)
            elif block.type == "tool_use":
                yield RawContentBlockStartEvent(
                    type="content_block_start", index=index, content_block=block
                )
                args = InputJSONDelta(type="input_json_delta", partial_json=json.dumps(block.input))
                yield RawContentBlockDeltaEvent(delta=args, **kind)

    async def get_final_message(self) -> "Message":
        return self._message


async def answer_of_batch(step: Caller, request: dict[str, Any]) -> "Message":
    """The answer, if a batch has brought it; raises RetryLater when none has yet."""
    from anthropic.types import Message  # thousands of modules

    if model_settings().BATON_MODEL_PROVIDER == "bedrock":
        raise PermanentFailure("`batch` needs Message Batches, which Bedrock has not: leave it out")
    plain = json.loads(json.dumps(request, default=lambda value: value.to_dict()))
    key = _key(step, plain)
    asked = await step.store.find_batch_call(key)
    if asked and asked.result is not None:
        if "error" in asked.result:
            raise PermanentFailure(str(asked.result["error"]))
        return Message.model_validate(asked.result["message"])
    name = asked.model if asked else model()
    call = call_of(name, plain, share=SHARE, call_id=key)
    if commit(call.ceiling, unpriced=call.unpriced, asked=asked is not None) and not asked:
        await step.store.ask_batch(BatchCall(key, step.whose, node_name(), name, plain))
    raise RetryLater(LOOK_AGAIN + random.uniform(0, 60), "waits for its batch")


def _key(step: Caller, request: dict[str, Any]) -> str:
    """The same for the same call of the same task, told apart from its equals by their order."""
    said = f"{effect_key()} {json.dumps(request, sort_keys=True)}"
    step.repeats[said] += 1
    return hashlib.sha256(f"{step.repeats[said]} {said}".encode()).hexdigest()
