"""What the author of a node needs from Baton; nothing else in here is public."""

from graph.errors import PermanentFailure, RetryLater, WaitUntil

__all__ = ["PermanentFailure", "RetryLater", "WaitUntil", "effect_key"]


def effect_key() -> str:
    """A key for a node's outside effect: the same on every retry of that node in that step.

    Raises RuntimeError outside a node that Baton runs.
    """
    from graph.runtime.effects import current_effect_key  # noqa: PLC0415 - LangGraph loads late

    return current_effect_key()
