"""API keys: made, and told from what anybody could make up."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from graph.errors import BadInput
from graph.runtime.models import ApiKey
from graph.runtime.ports import KeyStore

KEY = re.compile(r"baton_([0-9a-f]{16})_[\w-]{43}", re.ASCII)
LONGEST_OWNER = 200  # characters
MOST_REMEMBERED = 1000


def new_key(owner: str, *, name: str = "", lasts: timedelta | None = None) -> tuple[str, ApiKey]:
    """The text to give away, which is kept nowhere, and the key to store; raises BadInput."""
    if not is_owner(owner):
        raise BadInput(f"an owner has 1 to {LONGEST_OWNER} printable characters")
    key_id, now = secrets.token_hex(8), datetime.now(UTC)
    text = f"baton_{key_id}_{secrets.token_urlsafe(32)}"
    return text, ApiKey(key_id, owner, name, _digest(text), now, now + lasts if lasts else None)


def is_owner(text: str) -> bool:
    """Whether rows may carry it: `""` is the owner of what no client made."""
    return 0 < len(text) <= LONGEST_OWNER and text.isprintable()


class Keyring:
    """Tells whose key a text is, and remembers it for `remembers` seconds.

    For so long a key goes on working in this process after it was revoked.
    """

    def __init__(
        self,
        store: KeyStore,
        *,
        remembers: float = 30.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._remembers = timedelta(seconds=remembers)
        self._clock = clock
        self._known: dict[bytes, tuple[ApiKey, datetime]] = {}

    async def find(self, text: str) -> ApiKey | None:
        """The key, None when it is none, was changed, or has expired."""
        named = KEY.fullmatch(text)
        if named is None:
            return None
        digest, now = _digest(text), self._clock()
        key, until = self._known.get(digest, (None, now))
        if key is not None and now < until:
            return key
        key = await self._store.use_key(named[1], digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            self._known.pop(digest, None)
            return None
        self._remember(digest, key, now)
        return key

    def _remember(self, digest: bytes, key: ApiKey, now: datetime) -> None:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        until = now + self._remembers
        self._known[digest] = (key, min(until, key.expires_at or until))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
