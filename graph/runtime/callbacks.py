"""LangChain's callbacks as the dicts of `astream_events`, version 2.

Driving the graph by `astream_events` itself would put a queue between LangGraph and the request to
stop after one superstep, which must be made before the next begins.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from langchain_core.tracers.event_stream import _AstreamEventsCallbackHandler

HIDDEN = "langsmith:hidden"  # LangGraph's own plumbing


class Callbacks(_AstreamEventsCallbackHandler):
    """Hands each event on, in the event loop that it was made in."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__(exclude_tags=[HIDDEN])
        self._tell = tell
        self._told_in = asyncio.get_running_loop()

    def _send(self, event: Any, event_type: str) -> None:
        if not self.root_event_filter.include_event(event, event_type):
            return
        try:
            here = asyncio.get_running_loop() is self._told_in
        except RuntimeError:
            here = False
        if here:
            self._tell(event)
        else:  # a node that is not a coroutine runs in a thread
            self._told_in.call_soon_threadsafe(self._tell, event)
