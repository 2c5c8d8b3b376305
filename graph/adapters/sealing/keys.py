"""Keys that values are sealed with, as ENCRYPTION_KEYS lists them."""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.errors import BadProject

BYTES = 32
KEY_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
PLAIN = "plain"  # in place of the first key: what is written is not sealed
HOW_TO = "`baton encryption key ID` makes one"


@dataclass(frozen=True, slots=True)
class Keys:
    """All of them open what they sealed; `first` seals what is written, None for nothing."""

    first: str | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


NO_KEYS = Keys()


def keys_of(text: str) -> Keys:
    """The keys of "id:base64,id:base64"; raises BadProject, which never shows a key."""
    found: dict[str, bytes] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    seals = not parts or parts[0] != PLAIN
    for place, part in enumerate(parts if seals else parts[1:], 1 if seals else 2):
        key_id, _, secret = part.partition(":")
        if not KEY_ID.fullmatch(key_id) or key_id == PLAIN:
            raise _wrong(f"entry {place} does not begin with an id of a-z, 0-9, _ and -, and ':'")
        if key_id in found:
            raise _wrong(f"key {key_id} is there twice")
        found[key_id] = _secret(key_id, secret)
    return Keys(next(iter(found), None) if seals else None, found)


def new_key(key_id: str) -> str:
    """A new entry of the list; raises BadProject for an id that cannot be one."""
    entry = f"{key_id}:{base64.b64encode(secrets.token_bytes(BYTES)).decode()}"
    keys_of(entry)
    return entry


def _secret(key_id: str, text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _wrong(f"key {key_id} is not base64") from error
    if len(secret) != BYTES:
        raise _wrong(f"key {key_id} has {len(secret)} bytes, not {BYTES}")
    return secret


def _wrong(what: str) -> BadProject:
    return BadProject(f"ENCRYPTION_KEYS: {what}; {HOW_TO}")
