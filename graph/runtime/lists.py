"""Lists that grow: stored as spans of items, so that a step stores what it added and no more.

Whether an item is the one that was stored is told by its bytes, never by which object it is: an
item that was changed in place is another item.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol

from graph.runtime.frames import freeze, split, thaw
from graph.runtime.marks import Marks
from graph.runtime.models import ItemRow, Span

LEAST_BYTES = 1024  # of a list; a shorter one is a value like any other
MOST_SPANS = 32  # of a list; one in more pieces is written anew
LARGE = 65_536  # bytes of items, which are stored in more than one row
PART = 64  # items of such a row
NUMBERS = (int, float, bool, type(None))
Spot = tuple[int, int]  # list, position
Grown = set[Spot]  # where an item stands already: no other is put there


@dataclass(slots=True)
class Log:
    """A list as stored, and its items as objects once somebody has read or written them."""

    spans: tuple[Span, ...]
    frames: tuple[bytes, ...]  # of its items, in as many pieces as they came
    items: list[Any] | None = None
    marks: Marks | None = None
    looked_over: bool = False  # since they were last handed out
    count: int = field(init=False)
    size: int = field(init=False)  # in bytes

    def __post_init__(self) -> None:
        self.count = sum(stop - start for _, start, stop in self.spans)
        self.size = sum(map(len, self.frames))

    def read(self, serde: SerializerProtocol) -> list[Any]:
        """The list as it was stored, whatever became of the objects since."""
        if self.items is None:
            self.items = thaw(self.frames, self.count, serde)
            self.marks = Marks.of(self.items)
        elif self.looked_over:
            self.looked_over = False
        elif not self.holds(self.items, serde, exactly=True):
            return thaw(self.frames, self.count, serde)
        return list(self.items)

    def look_over(self) -> None:
        """Find out ahead of `read` whether the objects are what was stored."""
        self.looked_over = bool(self.items and self.marks and self.marks.fit(self.items))

    def holds(
        self, items: Sequence[Any], serde: SerializerProtocol, *, exactly: bool = False
    ) -> bool:
        """Whether these are its items; `exactly`: whether it would be read as these objects."""
        if self.marks and self.marks.fit(items):
            return True
        data, exact = freeze(items, serde)
        return (exact or not exactly) and data == b"".join(self.frames)

    def longer(self, value: list[Any], row: ItemRow) -> "Log":
        """The list with more items at its end."""
        spans = _joined((*self.spans, (row.list_id, row.start, row.stop)))
        marks = Marks.of(value[self.count :])
        both = self.marks.and_those(marks) if self.marks and marks else None
        return Log(spans, (*self.frames, row.data), list(value), both)


def may_grow(value: Any) -> bool:
    """Whether a value may be stored as a list of items; numbers take less room as they are."""
    return type(value) is list and bool(value) and not isinstance(value[0], NUMBERS)


def logged(
    value: list[Any], base: Log | None, grown: Grown, serde: SerializerProtocol
) -> tuple[Log, ItemRow | None] | None:
    """The list in terms of the one it came from, and the items to add; None for a short one."""
    if base and base.count <= len(value) and base.holds(value[: base.count], serde):
        if base.count == len(value):
            return Log(base.spans, base.frames, list(value), base.marks), None
        more, count = freeze(value[base.count :], serde)[0], len(value) - base.count
        row = _row(more, count, base.spans[-1], grown)
        log = base.longer(value, row)
        if len(log.spans) <= MOST_SPANS:
            grown.add((row.list_id, row.start))
            return log, row
    return _anew(value, base, grown, serde)


def _anew(
    value: list[Any], base: Log | None, grown: Grown, serde: SerializerProtocol
) -> tuple[Log, ItemRow | None] | None:
    """As `logged`, for a list that is not the one it came from with more at its end."""
    data = freeze(value, serde)[0]
    if len(data) <= LEAST_BYTES:
        return None
    spans, row = _placed(split((data,), len(value)), base, grown)
    if len(spans) > MOST_SPANS:
        row = _row(data, len(value), None, grown)
        spans = ((row.list_id, 0, row.count),)
    if row is not None:
        grown.add((row.list_id, row.start))
    return Log(spans, (data,), list(value), Marks.of(value)), row


def cut(span: Span, rows: Sequence[ItemRow]) -> list[bytes]:
    """The frames of a span out of rows that hold them; raises ValueError for missing ones."""
    list_id, at, stop = span
    found: list[bytes] = []
    for row in sorted((r for r in rows if r.list_id == list_id), key=lambda r: r.start):
        if not row.start <= at < min(row.stop, stop):
            continue
        if at == row.start and row.stop <= stop:
            found.append(row.data)
        else:
            found += split((row.data,), row.count)[at - row.start : stop - row.start]
        at = min(row.stop, stop)
    if at < stop:
        raise ValueError(f"items {at} to {stop} of list {list_id} are missing")
    return found


def parts(row: ItemRow) -> list[ItemRow]:
    """The rows to store it as: Postgres copies a large value several times on its way out."""
    if len(row.data) <= LARGE:
        return [row]
    frames = split((row.data,), row.count)
    starts = range(0, row.count, PART)
    return [_part(row.list_id, row.start + at, frames[at : at + PART]) for at in starts]


def _part(list_id: int, start: int, frames: list[bytes]) -> ItemRow:
    return ItemRow(list_id, start, len(frames), b"".join(frames))


def _row(data: bytes, count: int, last: Span | None, grown: Grown) -> ItemRow:
    """New items behind the last span; in a new list if that one goes on already."""
    if last is not None and (last[0], last[2]) not in grown:
        return ItemRow(last[0], last[2], count, data)
    return ItemRow(secrets.randbits(63), 0, count, data)


def _placed(
    frames: list[bytes], base: Log | None, grown: Grown
) -> tuple[tuple[Span, ...], ItemRow | None]:
    """Spans of what the base has, and one row for what it has not."""
    spots = [(name, at) for name, *ends in base.spans for at in range(*ends)] if base else []
    origins = _origins(frames, split(base.frames, base.count) if base else [])
    new = [frame for frame, at in zip(frames, origins, strict=True) if at is None]
    grown.update(spots[1:])  # wherever it is cut off, it has gone on
    if not new:
        return _joined(_one(spots[at]) for at in origins if at is not None), None
    kept = len(frames) - len(new)
    behind = kept and origins[kept - 1 :] == [len(spots) - 1] + [None] * len(new)
    row = _row(b"".join(new), len(new), _one(spots[-1]) if behind else None, grown)
    added = iter(range(row.start, row.stop))
    places = [(row.list_id, next(added)) if at is None else spots[at] for at in origins]
    return _joined(map(_one, places)), row


def _origins(frames: list[bytes], had: list[bytes]) -> list[int | None]:
    """Where each item stood, None for a new one; preferably behind the one before it."""
    first: dict[bytes, int] = {}
    for at, frame in enumerate(had):
        first.setdefault(frame, at)
    origins: list[int | None] = []
    following = 0
    for frame in frames:
        follows = following < len(had) and had[following] == frame
        origin = following if follows else first.get(frame)
        origins.append(origin)
        following = (following if origin is None else origin) + 1
    return origins


def _one(spot: Spot) -> Span:
    return (*spot, spot[1] + 1)


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same items in as few spans as can be."""
    joined: list[Span] = []
    for name, start, stop in spans:
        if joined and joined[-1][0] == name and joined[-1][2] == start:
            joined[-1] = (name, joined[-1][1], stop)
        else:
            joined.append((name, start, stop))
    return tuple(joined)
