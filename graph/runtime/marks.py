"""Whether messages are what they were, told in no time and without looking at what they say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, is_
from typing import Any

from ormsgpack import MsgpackEncodeError

from graph.runtime.frames import CODES, packed

LEAVES = frozenset((str, int, float, bool, type(None), bytes))
END = object()  # behind the last, so that none is left over on either side


@dataclass(frozen=True, slots=True)
class Marks:
    """What messages were made of.

    Leaves cannot change: they are compared by which objects they are, and held here so that no
    other comes in their place. What can change in place is compared by what is in it, most often
    nothing.
    """

    types: list[type]
    leaves: list[Any]
    extras: list[Any]
    empty: list[Any]
    full: list[Any]
    held: bytes  # in the full ones

    @classmethod
    def of(cls, items: Sequence[Any]) -> "Marks | None":
        """None if there are other things than messages, or messages with other things in them."""
        types = list(map(type, items))
        if not CODES.keys() >= set(types):
            return None
        leaves, extras = list(_leaves(items)), list(_extras(items))
        boxes = [leaf for leaf in (*leaves, *extras) if type(leaf) not in LEAVES]
        try:
            packed(boxes)
            empty, full = [b for b in boxes if not b], [b for b in boxes if b]
            return cls(types, leaves, extras, empty, full, packed(full))
        except MsgpackEncodeError:
            return None

    def fit(self, items: Sequence[Any]) -> bool:
        """Whether these items are still, or again, what was marked."""
        try:
            return (
                _same(map(type, items), self.types)
                and _same(_leaves(items), self.leaves)
                and _same(_extras(items), self.extras)
                and not any(self.empty)
                and packed(self.full) == self.held
            )
        except MsgpackEncodeError:
            return False

    def and_those(self, more: "Marks") -> "Marks":
        return Marks(
            self.types + more.types,
            self.leaves + more.leaves,
            self.extras + more.extras,
            self.empty + more.empty,
            self.full + more.full,
            self.held + more.held,
        )


def _leaves(items: Iterable[Any]) -> Iterable[Any]:
    return chain.from_iterable(map(dict.values, map(attrgetter("__dict__"), items)))


def _extras(items: Iterable[Any]) -> Iterable[Any]:
    return map(attrgetter("__pydantic_extra__"), items)


def _same(found: Iterable[Any], held: list[Any]) -> bool:
    """Whether these are the very same objects, and as many."""
    return all(map(is_, chain(found, (END,)), chain(held, (END,))))
