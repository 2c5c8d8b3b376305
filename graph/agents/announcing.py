"""A tool's call as LangChain's callbacks are told of it: usage, traces, the stream mode `tools`."""

import json
from collections.abc import Awaitable, Callable

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables.config import ensure_config, get_async_callback_manager_for_config


async def announced(call: ToolCall, make: Callable[[], Awaitable[ToolMessage]]) -> ToolMessage:
    """The result of a call whose start and end are told; one that waits is told again later.

    By this it counts towards the run's budget: at a ceiling it is not made.
    """
    name, args = call["name"], call["args"]
    manager = get_async_callback_manager_for_config(ensure_config())
    told = await manager.on_tool_start(
        {"name": name}, json.dumps(args), name=name, inputs=args, tool_call_id=call["id"]
    )
    try:
        message = await make()
    except Exception as error:  # told, and raised again
        await told.on_tool_error(error)
        raise
    await told.on_tool_end(message)
    return message
