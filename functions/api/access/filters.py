"""What `@auth.on` handlers return, as the JSON that metadata must contain."""

from collections.abc import Mapping
from typing import Any

from graph.errors import BadProject
from graph.runtime.models import Json


def containment(found: Mapping[str, Any]) -> Json:
    """`{"owner": x}`, `{"owner": {"$eq": x}}` and `{"members": {"$contains": x}}`, all of them."""
    return {key: _wanted(key, value) for key, value in found.items()}


def _wanted(key: str, value: Any) -> Any:
    if key.startswith("$"):
        raise BadProject(f"an auth filter cannot use {key}: name a key of the metadata")
    if not isinstance(value, Mapping):
        return value
    match dict(value):
        case {"$eq": wanted, **rest} if not rest:
            return wanted
        case {"$contains": wanted, **rest} if not rest:
            return list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
        case plain if not any(str(name).startswith("$") for name in plain):
            return plain
    raise BadProject(f"an auth filter on {key!r} can use $eq or $contains, not {value!r}")


def narrowed(asked: Json, part: Json) -> Json | None:
    """A search by metadata narrowed to what contains the part, too; None if nothing could match."""
    made = dict(asked)
    for key, value in part.items():
        had = made.get(key, value)
        if isinstance(had, list) and isinstance(value, list):
            made[key] = had + [element for element in value if element not in had]
        elif isinstance(had, dict) and isinstance(value, dict):
            made[key] = narrowed(had, value)
            if made[key] is None:
                return None
        elif had != value:
            return None
        else:
            made[key] = value
    return made
