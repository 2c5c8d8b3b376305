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
        codes = [form[0] for form in forms]
        built = {
            code: iter(_built(code, [form for form in forms if form[0] == code], serde))
            for code in set(codes)
        }
        return [next(built[code]) for code in codes]


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


def _built(code: int, forms: list[Any], serde: SerializerProtocol) -> list[Any]:
    """The items of one kind; messages slot by slot, which is faster than one by one."""
    if code == PLAIN:
        return [plain for _, plain in forms]
    if code == TYPED:
        return [serde.loads_typed((kind, data)) for _, kind, data in forms]
    cls, names = MESSAGES[code], FIELDS[code]
    messages: list[Any] = list(map(cls.__new__, repeat(cls, len(forms))))
    fields = [
        dict(zip(names, said, strict=True)) if isinstance(said, list) else said
        for _, said, _ in forms
    ]
    _set(messages, "__dict__", fields)
    _set(messages, "__pydantic_fields_set__", map(set, fields))
    _set(messages, "__pydantic_extra__", [extra for _, _, extra in forms])
    _set(messages, "__pydantic_private__", repeat(None))
    return messages


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
