"""How LangGraph is told where to stop: its own drain facility."""

import math
import time
from collections.abc import Callable
from threading import get_ident

from langgraph.config import get_config
from langgraph.runtime import RunControl

STEP_OVER, TIME_OVER = "step over", "time over"


class Reins(RunControl):
    """Lets the root graph go on while it may, and nested graphs while time lasts.

    A nested graph that saw the root's drain before its own first superstep would never progress.
    """

    __slots__ = ("_may_go_on", "_thread", "begun", "drain_at", "turn")

    def __init__(self, may_go_on: Callable[[], bool]) -> None:
        super().__init__()
        self._may_go_on = may_go_on
        self._thread = get_ident()
        self.drain_at = math.inf
        self.turn = 0  # of the root graph, which asks in front of each superstep
        self.begun = 0  # the turn that the step's first task started in

    @property
    def drain_requested(self) -> bool:
        if not self._nested:
            self.turn += 1
        return self.drain_reason is not None

    @property
    def drain_reason(self) -> str | None:
        if self._nested:
            return TIME_OVER if time.monotonic() >= self.drain_at else None
        return STEP_OVER if self.begun and not self._may_go_on() else None

    @property
    def _nested(self) -> bool:
        """Whether a node asks, or a graph that runs in one: there is a runnable context."""
        try:
            get_config()
        except RuntimeError:
            return get_ident() != self._thread
        return True
