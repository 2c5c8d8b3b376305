"""Whether messages are what they were, told in no time and mostly by which objects they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, compress, filterfalse
from operator import attrgetter
from typing import Any

from ormsgpack import MsgpackEncodeError

from graph.runtime.frames import CODES, packed

EMPTY = frozenset((str, type(None), dict, list))  # not 0 and False, which are equal


@dataclass(frozen=True, slots=True)
class Marks:
    """What messages were made of.

    Texts cannot change. They are compared as what they are, and held here: the very same object,
    which most are, is equal at once. What can change in place is compared by what is in it, most
    often nothing; numbers as well, for 1, True and 1.0 are equal.
    """

    types: list[type]
    leaves: list[Any]
    empty: list[Any]  # leaves that are, among them what something may be put into
    full: list[int]  # places of the leaves that are neither that nor text
    held: bytes  # in the full ones
    extras: bytes

    @classmethod
    def of(cls, items: Sequence[Any]) -> "Marks | None":
        """None if there are other things than messages, or messages with other things in them."""
        types = list(map(type, items))
        if not CODES.keys() >= set(types):
            return None
        leaves = _leaves(items)
        empty = list(filterfalse(None, leaves))
        if not set(map(type, empty)) <= EMPTY:
            return None
        places = compress(range(len(leaves)), leaves)
        full = [at for at in places if type(leaves[at]) is not str]
        try:
            return cls(types, leaves, empty, full, _held(leaves, full), _extras(items))
        except MsgpackEncodeError:
            return None

    def fit(self, items: Sequence[Any]) -> bool:
        """Whether these items are still, or again, what was marked."""
        if list(map(type, items)) != self.types or any(self.empty):
            return False
        leaves = _leaves(items)
        try:
            return (
                leaves == self.leaves
                and _held(leaves, self.full) == self.held
                and _extras(items) == self.extras
            )
        except Exception:  # whatever was put there and cannot be compared, or packed
            return False

    def and_those(self, more: "Marks") -> "Marks":
        return Marks(
            self.types + more.types,
            self.leaves + more.leaves,
            self.empty + more.empty,
            self.full + [len(self.leaves) + at for at in more.full],
            self.held + more.held,
            self.extras + more.extras,
        )


def _leaves(items: Iterable[Any]) -> list[Any]:
    """The values of all fields, one message after the other."""
    return list(chain.from_iterable(map(dict.values, map(attrgetter("__dict__"), items))))


def _held(leaves: list[Any], full: list[int]) -> bytes:
    return packed([leaves[at] for at in full])


def _extras(items: Iterable[Any]) -> bytes:
    return packed(list(map(attrgetter("__pydantic_extra__"), items)))
