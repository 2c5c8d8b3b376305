"""What a tool declares, and how a call to it is carried out.

Whatever goes wrong, a hang and nonsense too, becomes a result that the model reads and corrects.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import ToolCall, ToolMessage
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, ValidationError

from graph import PermanentFailure
from graph.agents.announcing import announced
from graph.agents.long_results import shortened

log = logging.getLogger("baton.tools")


class CannotDo(Exception):
    """Raise it in a tool to tell the model what is wrong; it is not tried again."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something a model may do: `args` says how, its docstring what for."""

    name: str
    args: type[BaseModel]
    run: Callable[[Any], Awaitable[str]]
    failed: str  # what the model is told when it did not work
    timeout: float = 10.0  # seconds for each attempt
    retries: int = 0  # attempts after the first; what the tool does must bear it
    topic: str = ""  # tools of one topic are offered together; those without one always

    def spec(self) -> dict[str, Any]:
        """The tool as chat models are told of it."""
        return {
            "name": self.name,
            "description": inspect.getdoc(self.args) or "",
            "input_schema": self.args.model_json_schema(),
        }


async def carry_out(tools: Mapping[str, Tool], call: ToolCall) -> ToolMessage:
    """The result of a call, or what went wrong; a tool's interrupt or wish to wait passes.

    It counts towards the run's budget. A long result is cut, and kept to be read on.
    """
    return await announced(call, partial(_result, tools, call))


async def _result(tools: Mapping[str, Tool], call: ToolCall) -> ToolMessage:
    name, call_id = call["name"], str(call["id"])
    try:
        result = await shortened(await _run(tools, call), call_id)
    except CannotDo as why:
        return ToolMessage(str(why), tool_call_id=call_id, name=name, status="error")
    return ToolMessage(result, tool_call_id=call_id, name=name)


async def _run(tools: Mapping[str, Tool], call: ToolCall) -> str:
    tool = tools.get(call["name"])
    if tool is None:
        raise CannotDo(f"There is no tool {call['name']!r}; there are {', '.join(tools)}.")
    try:
        args = tool.args.model_validate(call["args"])
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CannotDo(f"The arguments do not fit: {wrong}. Call it again, correctly.") from error
    for _ in range(tool.retries):
        try:
            return await _attempt(tool, args)
        except CannotDo as why:
            if why.__cause__ is None:
                raise
    return await _attempt(tool, args)


async def _attempt(tool: Tool, args: BaseModel) -> str:
    """One attempt; a failure that is not the tool's own word has a cause."""
    try:
        async with asyncio.timeout(tool.timeout):
            result = await tool.run(args)
        if not isinstance(result, str) or not result.strip():
            raise ValueError(f"{tool.name} returned {result!r}, not a text")
    except (CannotDo, PermanentFailure, GraphBubbleUp):
        raise
    except TimeoutError as error:
        raise CannotDo(f"{tool.failed} It took longer than {tool.timeout:g} s.") from error
    except Exception as error:  # the edge to tools' code: whatever one raises
        log.warning("tool failed", extra={"tool": tool.name}, exc_info=error)
        raise CannotDo(f"{tool.failed} ({type(error).__name__})") from error
    return result
