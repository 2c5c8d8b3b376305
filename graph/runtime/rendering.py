"""Python values of a graph as JSON for clients."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from graph.runtime.models import Json

DEEPEST = 200  # levels; orjson takes 254


def to_json(value: Any) -> bytes:
    """JSON text of any value a graph may hold: messages, models, dataclasses, sets, bytes.

    What has no JSON form becomes its `str`, an integer beyond 64 bits the nearest float, half a
    surrogate pair "?", and what lies too deep "...".
    """
    try:
        return _dumps(value)
    except TypeError:  # too large an integer, half a character, or too deep
        return _dumps(_narrowed(value))


def _dumps(value: Any) -> bytes:
    return orjson.dumps(
        value, default=_default, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    )


def jsonable(value: Any) -> Any:
    """The value as plain JSON data."""
    return orjson.loads(to_json(value))


def error_json(error: BaseException) -> Json:
    """An error in the wire format's shape."""
    return {"error": type(error).__name__, "message": _text(str(error) or repr(error))}


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
    return _text(str(value))


def _narrowed(value: Any, level: int = 0) -> Any:
    """The value with nothing in it that JSON text could not be made of."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1000 else str(value)
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, int | float):
        return value
    if level == DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {_narrowed(k, level): _narrowed(v, level + 1) for k, v in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        return [_narrowed(part, level + 1) for part in value]
    made = _default(value)
    return value if isinstance(made, str) else _narrowed(made, level + 1)


def _text(text: str) -> str:
    """Without halves of surrogate pairs, which are no characters."""
    return text.encode(errors="replace").decode()
