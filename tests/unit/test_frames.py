"""Items as bytes: what comes back, what is told from what, and what is never built."""

import dataclasses
from collections.abc import Callable
from datetime import date
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from graph.runtime.checkpoints import strict_serializer
from graph.runtime.frames import FIELDS, freeze, split, thaw
from graph.runtime.lists import PART, Log, cut, parts
from graph.runtime.marks import Marks
from graph.runtime.models import ItemRow

SERDE = strict_serializer()
CALL = {"name": "look", "args": {"at": [1, 2.5]}, "id": "c1", "type": "tool_call"}
MESSAGES: list[BaseMessage] = [
    HumanMessage("hi", id="1", name="ann", additional_kwargs={"a": {"b": [True, 1, 1.0]}}),
    AIMessage("", tool_calls=[CALL], response_metadata={"model": "m"}, id="2"),
    AIMessage([{"type": "text", "text": "x"}, "y"]),
    SystemMessage("be brief"),
    ToolMessage("42", tool_call_id="c1", artifact={"k": None}, status="error"),
    HumanMessage("more", extra_field=["kept"]),
]
OTHERS: list[Any] = [
    ChatMessage(content="hm", role="critic"),
    HumanMessage("tuple inside", additional_kwargs={"pair": (1, 2)}),
    {"int keys": {1: "a"}, "date": date(2026, 1, 2)},
    {"a": [1, 2.0, None, b"x"]},
    "text",
    b"bytes",
    None,
    True,
    "half a pair \ud800",
]


@dataclasses.dataclass
class Unknown:
    number: int


class Incomparable:
    """As an array of numpy, where a list of them is compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of it is ambiguous")


@pytest.mark.parametrize("items", [MESSAGES, OTHERS, [*MESSAGES, *OTHERS], []])
def test_items_come_back_as_the_serializer_would_give_them(items: list[Any]) -> None:
    data, _ = freeze(items, SERDE)
    wanted = [SERDE.loads_typed(SERDE.dumps_typed(item)) for item in items]
    assert repr(thaw([data], len(items), SERDE)) == repr(wanted)


def test_messages_come_back_equal_and_can_be_changed() -> None:
    found = thaw([freeze(MESSAGES, SERDE)[0]], len(MESSAGES), SERDE)
    assert found == MESSAGES
    assert [m.model_dump() for m in found] == [m.model_dump() for m in MESSAGES]
    assert [list(m.__dict__) for m in found] == [list(m.__dict__) for m in MESSAGES]
    found[0].name = "bob"
    assert found[0].model_copy(update={"id": "9"}).id == "9"
    assert found[5].extra_field == ["kept"]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_frames_stand_one_after_the_other_however_many_there_are(count: int) -> None:
    items: list[Any] = [HumanMessage(str(n)) for n in range(count)]
    data, exact = freeze(items, SERDE)
    frames = split([data], count)
    assert exact
    assert len(frames) == count
    assert b"".join(frames) == data
    assert data == b"".join(freeze([item], SERDE)[0] for item in items)


def test_only_what_comes_back_as_it_was_is_called_exact() -> None:
    plain: list[Any] = [*MESSAGES, {"a": [1]}, "text", None, 1.5]
    for item in plain:
        assert freeze([item], SERDE)[1], item
    others: list[Any] = [(1, 2), {"a": (1,)}, {1: 2}, OTHERS[1], Unknown(1)]
    for item in others:
        assert not freeze([item], SERDE)[1], item


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("code", FIELDS)
def test_a_message_with_a_value_too_few_or_too_many_is_not_built(code: int, more: int) -> None:
    whole = thaw([ormsgpack.packb([code, list(FIELDS[code]), {}])], 1, SERDE)
    assert list(whole[0].__dict__.items()) == [(name, name) for name in FIELDS[code]]
    said = ["x"] * (len(FIELDS[code]) + more)
    with pytest.raises(ValueError, match="values to unpack"):
        thaw([ormsgpack.packb([code, said, {}])], 1, SERDE)


def test_no_class_is_built_that_is_not_known() -> None:
    (built,) = thaw([freeze([Unknown(7)], SERDE)[0]], 1, SERDE)
    assert not isinstance(built, Unknown)
    evil = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "system", "true"))))
    crafted = ormsgpack.packb([0, "msgpack", evil])
    assert thaw([crafted], 1, SERDE) == ["true"]
    with pytest.raises(KeyError):
        thaw([ormsgpack.packb([99, {}, {}])], 1, SERDE)
    with pytest.raises(NotImplementedError):  # by LangGraph's serializer, which knows no pickle
        thaw([ormsgpack.packb([0, "pickle", b"cos\nsystem\n."])], 1, SERDE)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "another text": lambda m: setattr(m, "content", "other"),
    "an equal number of another type": lambda m: m.additional_kwargs["a"]["b"].__setitem__(0, 1),
    "a key in an empty dict": lambda m: m.response_metadata.update(x=1),
    "an item in a list inside": lambda m: m.additional_kwargs["a"]["b"].append(None),
    "a field of its own": lambda m: setattr(m, "extra_field", 1),
    "another dict": lambda m: setattr(m, "response_metadata", {"x": 1}),
    "a field taken away": lambda m: m.__dict__.pop("name"),
    "an equal dict of other types": lambda m: setattr(
        m, "additional_kwargs", {"a": {"b": [1, 1.0, True]}}
    ),
    "something that refuses to be compared": lambda m: setattr(m, "name", Incomparable()),
    "something that cannot be packed": lambda m: m.response_metadata.update(x=(1, 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_message_changed_in_place_no_longer_fits(change: str) -> None:
    items: list[Any] = [message.model_copy(deep=True) for message in MESSAGES]
    marks = Marks.of(items)
    assert marks is not None
    assert marks.fit(items)
    assert marks.fit(list(items))
    CHANGES[change](items[0])
    assert not marks.fit(items)


def test_fewer_more_or_other_messages_do_not_fit() -> None:
    marks = Marks.of(MESSAGES)
    assert marks is not None
    assert not marks.fit(MESSAGES[:-1])
    assert not marks.fit([*MESSAGES, HumanMessage("x")])
    assert not marks.fit(MESSAGES[::-1])
    assert not marks.fit([])


def test_marks_of_more_messages_are_those_of_all() -> None:
    first, more = Marks.of(MESSAGES[:2]), Marks.of(MESSAGES[2:])
    assert first is not None
    assert more is not None
    assert first.and_those(more).fit(MESSAGES)


def test_what_is_not_known_is_not_marked() -> None:
    zero = HumanMessage("0 is equal to False", id="1")
    zero.__dict__["number"] = 0
    for item in [*OTHERS, zero]:
        assert Marks.of([item]) is None


def test_what_was_looked_over_is_handed_out_once() -> None:
    items: list[Any] = [message.model_copy(deep=True) for message in MESSAGES]
    log = Log(((1, 0, len(items)),), (freeze(items, SERDE)[0],), items, Marks.of(items))
    log.look_over()
    assert log.read(SERDE)[0] is items[0]
    items[0].content = "changed by the node"
    assert log.read(SERDE) == MESSAGES
    log.look_over()
    assert log.read(SERDE) == MESSAGES


def test_a_large_row_is_stored_in_parts_and_a_small_one_as_it_is() -> None:
    items: list[Any] = [HumanMessage("x" * 1000, id=str(n)) for n in range(3 * PART + 1)]
    row = ItemRow(7, 5, len(items), freeze(items, SERDE)[0])
    stored = parts(row)
    assert [(part.start, part.count) for part in stored] == [(5, 64), (69, 64), (133, 64), (197, 1)]
    assert thaw(cut((7, 5, row.stop), stored), row.count, SERDE) == items
    assert thaw(cut((7, 68, 70), stored), 2, SERDE) == items[63:65]
    (some,) = parts(ItemRow(7, 5, 2, freeze(items[:2], SERDE)[0]))
    assert (some.start, some.count) == (5, 2)
