"""Metadata that whatever a request makes must carry, so that its maker may see it again."""

from contextvars import ContextVar

from graph.runtime.models import Json

STAMP: ContextVar[Json | None] = ContextVar("stamp", default=None)


def stamped(metadata: Json) -> Json:
    """The metadata with the stamp of this request, if there is one."""
    return joined(metadata, STAMP.get() or {})


def joined(metadata: Json, part: Json) -> Json:
    """The metadata made to contain a part: lists grow, nested dicts too, anything else is set."""
    made = dict(metadata)
    for key, value in part.items():
        had = made.get(key)
        if isinstance(value, dict) and isinstance(had, dict):
            made[key] = joined(had, value)
        elif isinstance(value, list):
            kept = had if isinstance(had, list) else []
            made[key] = kept + [element for element in value if element not in kept]
        else:
            made[key] = value
    return made
