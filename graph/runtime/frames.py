"""A list's items as bytes: frames that stand one after the other, each with its own length in it.

What is plain data, or a message that holds nothing else, is a frame of plain msgpack and is built
again without any validation: four classes are known here, by number. Everything else is a frame
around what the graph's serializer made of it, and is built by that serializer alone.
"""

import gc
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import ormsgpack
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from pydantic import BaseModel

TYPED, PLAIN = 0, 1
MESSAGES: dict[int, type[BaseMessage]] = {
    2: HumanMessage,
    3: AIMessage,
    4: SystemMessage,
    5: ToolMessage,
}
# A message with these fields, in this order, is stored without their names. What is here is part of
# the format: other fields are no error, their names are stored.
COMMON = ("content", "additional_kwargs", "response_metadata", "type", "name", "id")
FIELDS = {
    2: COMMON,
    3: (*COMMON, "tool_calls", "invalid_tool_calls", "usage_metadata"),
    4: COMMON,
    5: (*COMMON, "tool_call_id", "artifact", "status"),
}
CODES: dict[type, int] = {cls: code for code, cls in MESSAGES.items()}
PLAIN_TYPES = frozenset((dict, list, str, int, float, bool, type(None), bytes))

# Whatever would not come back as exactly what it was is no plain data.
EXACT = (
    ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)


def freeze(items: Sequence[Any], serde: SerializerProtocol) -> tuple[bytes, bool]:
    """The items' frames, and whether `thaw` gives exactly these items back."""
    try:  # a conversation: all of it in one call
        forms = [_form(CODES[type(item)], item) for item in items]
        return packed(forms), True
    except (KeyError, ormsgpack.MsgpackEncodeError):
        frames = [_frame(item, serde) for item in items]
        return b"".join(frame for frame, _ in frames), all(exact for _, exact in frames)


def thaw(pieces: Sequence[bytes], count: int, serde: SerializerProtocol) -> list[Any]:
    """The items again, whose frames are in these pieces."""
    with _uncollected():
        forms = _forms(pieces, count)
        messages = _messages([form for form in forms if form[0] in MESSAGES])
        if len(messages) == count:  # a conversation
            return messages
        following = iter(messages)
        return [next(following) if f[0] in MESSAGES else _other(f, serde) for f in forms]


def split(pieces: Sequence[bytes], count: int) -> list[bytes]:
    """The frames, each for itself."""
    return [ormsgpack.packb(form) for form in _forms(pieces, count)]


def _frame(item: Any, serde: SerializerProtocol) -> tuple[bytes, bool]:
    code = CODES.get(type(item))
    try:
        if code is not None:
            return ormsgpack.packb(_form(code, item), option=EXACT), True
        if type(item) in PLAIN_TYPES:
            return ormsgpack.packb([PLAIN, item], option=EXACT), True
    except ormsgpack.MsgpackEncodeError:
        pass
    return ormsgpack.packb([TYPED, *serde.dumps_typed(item)]), False


def _form(code: int, message: BaseMessage) -> list[Any]:
    fields = message.__dict__
    said = list(fields.values()) if tuple(fields) == FIELDS[code] else fields
    return [code, said, message.__pydantic_extra__]


def _forms(pieces: Sequence[bytes], count: int) -> list[Any]:
    forms: list[Any] = ormsgpack.unpackb(b"".join((b"\xdd", count.to_bytes(4), *pieces)))
    return forms


def _messages(forms: list[Any]) -> list[Any]:
    """Messages of all kinds, slot by slot, which is faster than one by one."""
    messages: list[Any] = [object.__new__(MESSAGES[code]) for code, _, _ in forms]
    fields = [NAMED[code](said) if type(said) is list else said for code, said, _ in forms]
    _set(messages, "__dict__", fields)
    _set(messages, "__pydantic_fields_set__", map(set, fields))
    _set(messages, "__pydantic_extra__", [extra for _, _, extra in forms])
    _set(messages, "__pydantic_private__", repeat(None))
    return messages


def _common(said: list[Any]) -> dict[str, Any]:
    """The values of FIELDS by name; a dict that is written out takes half the time of a zip."""
    content, kwargs, metadata, kind, name, id_ = said
    return {
        "content": content,
        "additional_kwargs": kwargs,
        "response_metadata": metadata,
        "type": kind,
        "name": name,
        "id": id_,
    }


def _answer(said: list[Any]) -> dict[str, Any]:
    fields = _common(said[:6])
    fields["tool_calls"], fields["invalid_tool_calls"], fields["usage_metadata"] = said[6:]
    return fields


def _result(said: list[Any]) -> dict[str, Any]:
    fields = _common(said[:6])
    fields["tool_call_id"], fields["artifact"], fields["status"] = said[6:]
    return fields


NAMED = {2: _common, 3: _answer, 4: _common, 5: _result}


def _other(form: list[Any], serde: SerializerProtocol) -> Any:
    code, *said = form
    if code not in (PLAIN, TYPED):
        raise KeyError(f"frames of kind {code} are not known")
    return said[0] if code == PLAIN else serde.loads_typed(tuple(said))


def _set(messages: list[Any], slot: str, values: Iterable[Any]) -> None:
    """As pydantic's own `model_construct`, for many."""
    deque(map(BaseModel.__dict__[slot].__set__, messages, values), maxlen=0)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would look through many new objects over and over."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def packed(values: Sequence[Any]) -> bytes:
    """Plain values one after the other; raises MsgpackEncodeError for others."""
    header = 1 if len(values) < 16 else 3 if len(values) < 65_536 else 5
    return ormsgpack.packb(values, option=EXACT)[header:]
