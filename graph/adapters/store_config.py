"""What langgraph.json says of the long-term store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graph.errors import BadProject
from graph.runtime.models import Json

if TYPE_CHECKING:
    from langgraph.store.base import TTLConfig

MOST_DIMS = 16_000  # pgvector's


@dataclass(frozen=True, slots=True)
class Index:
    """`store.index`: how items are made comparable by meaning."""

    embed: str  # "provider:model" or "./file.py:function"
    dims: int
    fields: tuple[str, ...] = ("$",)


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The file's `store`; `load` gives what "./file.py:name" names."""

    index: Index | None
    ttl: "TTLConfig"
    load: Callable[[str], Any]


def store_config(said: Any, load: Callable[[str], Any]) -> StoreConfig:
    """Raises BadProject for what LangGraph's format does not know."""
    said = _object("store", said)
    index = _object("store.index", said.get("index"))
    ttl = _ttl(_object("store.ttl", said.get("ttl")))
    return StoreConfig(_index(index) if index else None, ttl, load)


def _index(said: Json) -> Index:
    embed, dims, fields = said.get("embed"), said.get("dims"), said.get("fields") or ["$"]
    if not isinstance(embed, str) or ":" not in embed:
        raise BadProject(
            f'store.index.embed must be "provider:model" or "./file.py:function", not {embed!r}'
        )
    if not isinstance(dims, int) or not 0 < dims <= MOST_DIMS:
        raise BadProject(f"store.index.dims must be a number from 1 to {MOST_DIMS}, not {dims!r}")
    if not isinstance(fields, list) or not all(isinstance(path, str) for path in fields):
        raise BadProject(f"store.index.fields must be a list of paths, not {fields!r}")
    return Index(embed, dims, tuple(fields))


def _ttl(said: Json) -> "TTLConfig":
    """What is past its time is not found, whether it has been swept or not."""
    minutes, refreshes = said.get("default_ttl"), said.get("refresh_on_read", True)
    if minutes is not None and (not isinstance(minutes, int | float) or minutes <= 0):
        raise BadProject(f"store.ttl.default_ttl must be a number of minutes, not {minutes!r}")
    return {"default_ttl": minutes, "refresh_on_read": bool(refreshes), "omit_expired": True}


def _object(name: str, said: Any) -> Json:
    if said is not None and not isinstance(said, dict):
        raise BadProject(f"{name} must be an object, not {said!r}")
    return said or {}
