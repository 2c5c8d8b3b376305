"""The effect key: how a node makes its outside effects idempotent."""

from collections.abc import Mapping
from typing import Any

from langgraph.config import get_config

SEQ = "baton_seq"
PATHS = "baton_paths"  # namespace of a nested graph -> path of the task that runs it


def effect_key() -> str:
    """A key for a node's outside effect: the same on every retry of that node in that step.

    Shape: `thread_id:seq:path`, the path naming the task from the root graph down. Give it to a
    payment API as its idempotency key, or put it under a unique index beside the effect.
    Raises RuntimeError outside a node that Baton runs.
    """
    config = get_config()
    conf = config["configurable"]
    if SEQ not in conf:
        raise RuntimeError("effect_key() works inside a node that Baton runs")
    parents = _parents(conf.get("checkpoint_ns", ""), conf.get(PATHS, {}))
    own = task_path(config["metadata"], nested=bool(parents))
    return ":".join((conf["thread_id"], str(conf[SEQ]), "/".join((*parents, own))))


def _parents(ns: str, paths: Mapping[str, str]) -> list[str]:
    """The stable paths of the tasks around this one; LangGraph's namespace has task ids."""
    segments = ns.split("|")[:-1]
    prefixes = ("|".join(segments[: i + 1]) for i in range(len(segments)))
    return [
        paths.get(prefix, segment.partition(":")[0])
        for prefix, segment in zip(prefixes, segments, strict=True)
    ]


def task_path(metadata: Mapping[str, Any], *, nested: bool) -> str:
    """The path of the task whose metadata this is.

    A nested graph may come to the same node again within one step of the root graph, so its
    paths carry its own step number.
    """
    path = _text(metadata.get("langgraph_path", ()))
    return f"{path}@{metadata.get('langgraph_step')}" if nested else path


def _text(path: Any) -> str:
    if isinstance(path, list | tuple):
        return ".".join(_text(part) for part in path)
    return str(path).removeprefix("__pregel_")
