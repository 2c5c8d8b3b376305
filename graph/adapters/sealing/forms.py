"""How a value of a column is sealed: whole or leaf by leaf, and what of it stays clear."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from re import Pattern
from typing import Any

import orjson

from graph.adapters.sealing.cipher import MARK, SIGN, TEXT, Bound, Cipher
from graph.adapters.sealing.frames import end_of

MARKED = b"sealed "  # before the kind of typed bytes
SEALED = "sealed"  # the member of an object that holds what is sealed of it
ANYTHING = re.compile(r".*", re.DOTALL)
LONGEST = 2**53  # of whole numbers that a float holds


@dataclass(frozen=True, slots=True)
class Form(ABC):
    """What all forms know: the kind of value, and whether it is its owner's alone."""

    kind: str
    of_owner: bool = True

    def bound(self, owner: str) -> Bound:
        return Bound(self.kind, owner if self.of_owner else "")

    @abstractmethod
    def seal(self, value: Any, cipher: Cipher, owner: str) -> Any:
        """The value as it is stored where the first key seals."""

    def escape(self, value: Any) -> Any:
        """The value as it is stored where nothing is sealed: never as if it were."""
        return value

    def stored(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return self.seal(value, cipher, owner) if cipher.first else self.escape(value)

    @abstractmethod
    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        """The value, sealed or not."""

    def anew(self, stored: Any, cipher: Cipher, owner: str) -> Any:
        """What should be in the place of what is stored, so that it is as the first key has it."""
        return self.stored(self.open(stored, cipher, owner), cipher, owner)


@dataclass(frozen=True, slots=True)
class Data(Form):
    """Bytes that are msgpack or UTF-8."""

    def seal(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return cipher.seal(value, self.bound(owner))

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return cipher.open(value, self.bound(owner)) if value[:1] == b"\xc1" else value


@dataclass(frozen=True, slots=True)
class Frames(Data):
    """Frames of msgpack, several rows of them put together by Postgres, sealed or not."""

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        """Of rows as Postgres gives them, each with its frames at its end."""
        return [[*rest, self._opened(data, cipher, owner)] for *rest, data in value]

    def anew(self, stored: Any, cipher: Cipher, owner: str) -> Any:
        ((said,),) = self.open([[stored]], cipher, owner)
        return self.stored(said, cipher, owner)

    def _opened(self, data: bytes, cipher: Cipher, owner: str) -> bytes:
        if MARK not in data or not LOOKS_SEALED.search(data):  # the byte alone is found at once
            return data
        parts, at, view, bound = [], 0, memoryview(data), self.bound(owner)
        while at < len(data):
            if data[at] == MARK:
                opened, size = cipher.open_first(view[at:], bound)
                parts.append(opened)
                at += size
            else:
                stop = end_of(data, at)
                parts.append(data[at:stop])
                at = stop
        return b"".join(parts)


LOOKS_SEALED = re.compile(rb"\xc1[\0-\3][\1-\x20][a-z0-9]")


@dataclass(frozen=True, slots=True)
class Typed(Form):
    """Bytes of any kind: the kind beside them says that they are sealed."""

    def seal(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return cipher.seal(value, self.bound(owner))

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        """Of rows as Postgres gives them, each with its kind and data at its end."""
        return [self._opened(row, cipher, owner) for row in value]

    def _opened(self, row: list[bytes], cipher: Cipher, owner: str) -> list[bytes]:
        *rest, kind, data = row
        bare = kind.removeprefix(MARKED)
        return row if bare == kind else [*rest, bare, cipher.open(data, self.bound(owner))]

    def anew(self, stored: Any, cipher: Cipher, owner: str) -> Any:
        """Of a kind and its data."""
        kind, data = self._opened(stored, cipher, owner)
        return [MARKED + kind, self.seal(data, cipher, owner)] if cipher.first else [kind, data]


@dataclass(frozen=True, slots=True)
class Kind(Form):
    """The kind of typed bytes."""

    def seal(self, value: Any, *_: Any) -> Any:
        return MARKED.decode() + value

    def open(self, value: Any, *_: Any) -> Any:
        return value.removeprefix(MARKED.decode())


@dataclass(frozen=True, slots=True)
class Text(Form):
    def seal(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return cipher.seal_text(value.encode(), self.bound(owner))

    def escape(self, value: Any) -> Any:
        return escaped(value)

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        if not TEXT.fullmatch(value):
            return unescaped(value)
        return cipher.open_text(value, self.bound(owner)).decode()


@dataclass(frozen=True, slots=True)
class Object(Form):
    """An object of JSON as one text; members in `clear` stay, those in `texts` are each for itself.

    What is not sealed is an object, so a text is none of a client's.
    """

    clear: frozenset[str] = frozenset()
    texts: Mapping[str, Text] = field(default_factory=dict)

    def seal(self, value: Any, cipher: Cipher, owner: str) -> Any:
        beside = {k: v for k, v in value.items() if k in self.clear}
        beside |= {k: f.seal(value[k], cipher, owner) for k, f in self.texts.items() if k in value}
        rest = {k: v for k, v in value.items() if k not in beside}
        if not rest:
            return beside
        sealed = cipher.seal_text(dumps(rest), self.bound(owner))
        return {**beside, SEALED: sealed} if self.clear else sealed

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        if isinstance(value, str):
            return loads(cipher.open_text(value, self.bound(owner)))
        beside = {k: f.open(value[k], cipher, owner) for k, f in self.texts.items() if k in value}
        if not self.clear or SEALED not in value:
            return {**value, **beside} if beside else value
        rest = {k: v for k, v in value.items() if k != SEALED}
        return {**rest, **beside, **loads(cipher.open_text(value[SEALED], self.bound(owner)))}


@dataclass(frozen=True, slots=True)
class Lists(Form):
    """Lists of objects by name."""

    of: Object = field(default_factory=lambda: Object("object"))

    def seal(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return {k: [self.of.seal(one, cipher, owner) for one in v] for k, v in value.items()}

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        return {k: [self.of.open(one, cipher, owner) for one in v] for k, v in value.items()}


@dataclass(frozen=True, slots=True)
class Leaves(Form):
    """An object of JSON leaf by leaf, each always the same way, so that Postgres finds it by them.

    A member in `clear` stays when it fits the pattern; whatever it is, if that is ANYTHING.
    """

    clear: Mapping[str, Pattern[str]] = field(default_factory=dict)

    def seal(self, value: Any, cipher: Cipher, owner: str, *, key_id: str | None = None) -> Any:
        bound = self.bound(owner)
        return self._members(value, lambda leaf: cipher.mask(canonical(leaf), bound, key_id))

    def escape(self, value: Any) -> Any:
        return self._members(value, escaped)

    def open(self, value: Any, cipher: Cipher, owner: str) -> Any:
        bound = self.bound(owner)

        def opened(leaf: Any) -> Any:
            sealed = isinstance(leaf, str) and TEXT.fullmatch(leaf)
            return loads(cipher.unmask(leaf, bound)) if sealed else unescaped(leaf)

        return self._members(value, opened)

    def every(self, member: Any, cipher: Cipher, owner: str) -> list[Any]:
        """An object in all the forms in which it may be stored."""
        forms = [self.escape(member)]
        for key_id in cipher.keys.secrets:
            sealed = self.seal(member, cipher, owner, key_id=key_id)
            forms += [sealed] if sealed not in forms else []
        return forms

    def _members(self, value: Any, change: Callable[[Any], Any]) -> Any:
        return {k: v if self._stays(k, v) else _each(v, change) for k, v in value.items()}

    def _stays(self, name: str, value: Any) -> bool:
        fits = self.clear.get(name)
        if fits is None or fits is ANYTHING:
            return fits is ANYTHING
        return not isinstance(value, dict | list) and bool(fits.fullmatch(str(value)))


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {k: _each(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_each(v, change) for v in value]
    return None if value is None else change(value)


def escaped(leaf: Any) -> Any:
    """A leaf that is stored clear: a text that begins like a seal does not look like one."""
    begins = isinstance(leaf, str) and leaf.startswith(SIGN)
    return f"{SIGN}~{leaf.removeprefix(SIGN)}" if begins else leaf


def unescaped(leaf: Any) -> Any:
    begins = isinstance(leaf, str) and leaf.startswith(f"{SIGN}~")
    return SIGN + leaf.removeprefix(f"{SIGN}~") if begins else leaf


def canonical(leaf: Any) -> bytes:
    """As JSON, in one way for what Postgres takes for equal."""
    if isinstance(leaf, float) and leaf.is_integer() and abs(leaf) < LONGEST:
        leaf = int(leaf)
    return dumps(leaf)


def dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # what only Python's own writes: long numbers, keys that are none
        return json.dumps(value).encode()


def loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return json.loads(data)
