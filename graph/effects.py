"""The effect key: how a node makes its outside effects idempotent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.config import get_config

PLACE = "baton_place"
SEQ = "baton_seq"  # in the metadata of checkpoints


@dataclass(slots=True)
class Place:
    """Which step nodes run in; the engine moves it on while they do not."""

    seq: int
    paths: dict[str, str] = field(default_factory=dict)  # of nested graphs' tasks, by namespace


def effect_key() -> str:
    """A key for a node's outside effect: the same on every retry of that node in that step.

    Shape: `thread_id:seq:path`, the path naming the task from the root graph down. Give it to a
    payment API as its idempotency key, or put it under a unique index beside the effect.
    Raises RuntimeError outside a node that Baton runs.
    """
    config = get_config()
    conf = config["configurable"]
    place: Place | None = conf.get(PLACE)
    if place is None:
        raise RuntimeError("effect_key() works inside a node that Baton runs")
    parents = _parents(conf.get("checkpoint_ns", ""), place.paths)
    own = task_path(config["metadata"], nested=bool(parents))
    return ":".join((conf["thread_id"], str(place.seq), "/".join((*parents, own))))


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
