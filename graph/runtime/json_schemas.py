"""A graph's types as JSON schemas, where they have one."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints, is_typeddict

from pydantic import TypeAdapter, create_model

from graph.runtime.models import Json

log = logging.getLogger("baton.schemas")


def schemas_of(graph: Any) -> Json:
    """What the graph takes, gives, keeps and is configured by; null for types without a schema."""
    built = getattr(graph, "builder", None)
    context = _schema(graph, graph.get_context_jsonschema, graph.context_schema)
    return {
        "input_schema": _schema(
            graph, graph.get_input_jsonschema, getattr(built, "input_schema", None)
        ),
        "output_schema": _schema(
            graph, graph.get_output_jsonschema, getattr(built, "output_schema", None)
        ),
        "state_schema": _fields(
            graph.get_name("State"),
            {name: graph.channels[name].UpdateType for name in graph.stream_channels_list},
        ),
        "config_schema": context or {},  # `configurable` is the context's older name
        "context_schema": context,
    }


def _schema(graph: Any, make: Callable[[], Json | None], kind: Any) -> Json | None:
    """LangGraph's schema; for a TypedDict that has none, one made field by field.

    Before Python 3.12, pydantic takes no `typing.TypedDict`.
    """
    try:
        return make()
    except Exception as error:  # the edge to users' types: pydantic raises whatever they raise
        if is_typeddict(kind):
            return _fields(kind.__name__, get_type_hints(kind, include_extras=True))
        log.warning("graph %s has a type without a JSON schema: %s", graph.name, error)
        return None


def _fields(name: str, kinds: Mapping[str, Any]) -> Json:
    """An object of these fields, each of any kind if its own has no schema."""
    fields: dict[str, Any] = {
        field: (kind if _has_schema(kind) else Any, None) for field, kind in kinds.items()
    }
    schema: Json = create_model(name, **fields).model_json_schema()
    return schema


def _has_schema(kind: Any) -> bool:
    try:
        TypeAdapter(kind).json_schema()
    except Exception:  # as above
        return False
    return True
