"""Whom the running thread belongs to."""

from langgraph.config import get_config

OWNER = "__baton_owner"  # the underscores keep it out of checkpoints' metadata


def owner() -> str:
    """The owner of the thread this node runs on: put it in every WHERE of the owner's own data.

    It comes from the thread, never from the request. Raises RuntimeError outside a node that
    Baton runs.
    """
    conf = get_config()["configurable"]
    if OWNER not in conf:
        raise RuntimeError("owner() works inside a node that Baton runs")
    found: str = conf[OWNER]
    return found
