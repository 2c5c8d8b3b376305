"""Python values of a graph as JSON for clients."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from graph.runtime.models import Json


def to_json(value: Any) -> bytes:
    """JSON text of any value a graph may hold: messages, models, dataclasses, sets, bytes.

    What has no JSON form becomes its `str`.
    """
    return orjson.dumps(
        value, default=_default, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    )


def jsonable(value: Any) -> Any:
    """The value as plain JSON data."""
    return orjson.loads(to_json(value))


def error_json(error: BaseException) -> Json:
    """An error in the wire format's shape."""
    return {"error": type(error).__name__, "message": str(error) or repr(error)}


def interrupt_json(interrupt: Any) -> Json:
    """One question of LangGraph's in the wire format; a resume may name its id."""
    return {"value": jsonable(interrupt.value), "id": interrupt.id}


def interrupts_json(interrupts: Mapping[str, Sequence[Any]]) -> Json:
    """Questions by task id."""
    return {task_id: [interrupt_json(i) for i in asked] for task_id, asked in interrupts.items()}


def _default(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return str(value)
