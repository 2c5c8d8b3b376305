"""Values sealed and opened: what a key does to bytes, bound to what they are and whose.

`sealed bytes`  C1, marks, length of the key's id, the id, length of what follows, nonce, ciphertext
`sealed text`   baton~ID: or baton~ID@ and base64 of marks, nonce and ciphertext
`masked text`   the same of a ciphertext that is always the same for the same text, to be found by

C1 begins neither msgpack nor UTF-8: no value that is not sealed looks like one.
"""

import base64
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from graph.adapters.sealing.keys import NO_KEYS, Keys
from graph.errors import KeyMissing, Tampered

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, AESSIV

MARK = 0xC1
SIGN = "baton~"  # a clear text that begins so has another ~ behind it: see `forms`
TEXT = re.compile(r"baton~([a-z0-9][a-z0-9_-]{0,31})([:@])([A-Za-z0-9+/]{22,}={0,2})", re.ASCII)
OWNED, SQUEEZED = 1, 2  # marks: bound to an owner, compressed
NONCE = 12
PAYS = 2000  # bytes; what is shorter Postgres does not compress either
BLOCK = 8  # masked text is filled up to it, for `true` is shorter than `false`


@dataclass(frozen=True, slots=True)
class Bound:
    """What a ciphertext belongs to: the kind of value, and its owner unless that is nobody."""

    kind: str
    owner: str = ""

    def data(self, *, owned: bool) -> bytes:
        return f"{self.kind}\0{self.owner if owned else ''}".encode()


class Cipher:
    """Seals with the first of the keys, opens with any of them; without keys it finds seals only.

    Opening raises KeyMissing for a key that is not there, Tampered for what does not fit.
    """

    def __init__(self, keys: Keys = NO_KEYS) -> None:
        self.keys = keys
        self.first = keys.first
        self._found = cache(self._made)

    def seal(self, data: bytes, bound: Bound) -> bytes:
        key_id = (self.first or "").encode()
        marks, rest = self._seal(data, bound)
        return b"".join(
            (bytes((MARK, marks, len(key_id))), key_id, len(rest).to_bytes(4), rest),
        )

    def open(self, sealed: bytes, bound: Bound) -> bytes:
        data, size = self.open_first(sealed, bound)
        if size != len(sealed):
            raise _tampered(bound)
        return data

    def open_first(self, sealed: bytes | memoryview, bound: Bound) -> tuple[bytes, int]:
        """What the sealed bytes hold that `sealed` begins with, and how long these are."""
        at = 3 + sealed[2]
        key_id, start = bytes(sealed[3:at]).decode(errors="replace"), at + 4
        stop = start + int.from_bytes(sealed[at:start])
        if stop > len(sealed):
            raise _tampered(bound)
        return self._open(key_id, sealed[1], sealed[start:stop], bound), stop

    def seal_text(self, data: bytes, bound: Bound) -> str:
        marks, rest = self._seal(data, bound)
        return self._text(bytes((marks,)) + rest, bound)

    def open_text(self, sealed: str, bound: Bound) -> bytes:
        """Raises ValueError for what is no sealed text."""
        key_id, rest, _ = _parts(sealed)
        return self._open(key_id, rest[0], rest[1:], bound)

    def mask(self, data: bytes, bound: Bound, key_id: str | None = None) -> str:
        filled = data + b" " * (-len(data) % BLOCK)
        key_id = key_id or self.first or ""
        sealed = self._key(key_id, bound).siv.encrypt(filled, [bound.data(owned=True)])
        return self._text(sealed, bound, key_id)

    def unmask(self, sealed: str, bound: Bound) -> bytes:
        key_id, rest, owned = _parts(sealed)
        key = self._key(key_id, bound)
        try:
            return key.siv.decrypt(rest, [bound.data(owned=owned)])
        except key.refuses as error:
            raise _tampered(bound) from error

    def _seal(self, data: bytes, bound: Bound) -> tuple[int, bytes]:
        marks, nonce = OWNED if bound.owner else 0, secrets.token_bytes(NONCE)
        if len(data) >= PAYS and len(squeezed := zlib.compress(data, 1)) < len(data):
            marks, data = marks | SQUEEZED, squeezed
        key = self._key(self.first or "", bound).gcm
        return marks, nonce + key.encrypt(nonce, data, _with(marks, bound))

    def _open(self, key_id: str, marks: int, sealed: bytes | memoryview, bound: Bound) -> bytes:
        key = self._key(key_id, bound)
        try:
            data = key.gcm.decrypt(sealed[:NONCE], sealed[NONCE:], _with(marks, bound))
        except key.refuses as error:
            raise _tampered(bound) from error
        return zlib.decompress(data) if marks & SQUEEZED else data

    def _text(self, sealed: bytes, bound: Bound, key_id: str | None = None) -> str:
        sign = "@" if bound.owner else ":"
        return f"{SIGN}{key_id or self.first}{sign}{base64.b64encode(sealed).decode()}"

    def _key(self, key_id: str, bound: Bound) -> "Pair":
        if key_id not in self.keys.secrets:
            raise KeyMissing(
                f"{bound.kind} is sealed with key {key_id!r}, which ENCRYPTION_KEYS does not have "
                "here: put it back behind the others until `baton encryption rotate` leaves none"
            )
        return self._found(key_id)

    def _made(self, key_id: str) -> "Pair":
        from cryptography.exceptions import InvalidTag  # only where there are keys
        from cryptography.hazmat.primitives.ciphers.aead import (
            AESGCMSIV,
            AESSIV,
        )

        secret = self.keys.secrets[key_id]
        gcm, siv = (hmac.digest(secret, b"baton " + use, "sha512") for use in (b"gcm", b"siv"))
        return Pair(AESGCMSIV(gcm[:32]), AESSIV(siv), (InvalidTag, ValueError))


@dataclass(frozen=True, slots=True)
class Pair:
    """A key's two, neither of which is the key itself."""

    gcm: "AESGCMSIV"
    siv: "AESSIV"
    refuses: tuple[type[Exception], ...]  # by raising these


def key_of(sealed: bytes | str) -> str | None:
    """The id of the key that sealed it; None for what is not sealed."""
    if isinstance(sealed, str):
        found = TEXT.fullmatch(sealed)
        return found[1] if found else None
    return sealed[3 : 3 + sealed[2]].decode() if sealed[:1] == b"\xc1" else None


def _parts(sealed: str) -> tuple[str, bytes, bool]:
    found = TEXT.fullmatch(sealed)
    if found is None:
        raise ValueError("no sealed text")
    return found[1], base64.b64decode(found[3]), found[2] == "@"


def _with(marks: int, bound: Bound) -> bytes:
    return bytes((marks,)) + bound.data(owned=bool(marks & OWNED))


def _tampered(bound: Bound) -> Tampered:
    return Tampered(f"{bound.kind} cannot be opened: it was changed, or is of another place")
