"""The port of API keys."""

from datetime import datetime
from typing import Protocol

from graph.runtime.models import ApiKey


class KeyStore(Protocol):
    """API keys, for whoever runs the deployment; no client reaches them."""

    async def add_key(self, key: ApiKey) -> None: ...

    async def use_key(
        self, key_id: str, digest: bytes, *, now: datetime | None = None
    ) -> ApiKey | None:
        """The key if it has not expired, noting the use if the digest is its own.

        The caller compares the digests, in constant time.
        """
        ...

    async def list_keys(self, owner: str | None = None) -> list[ApiKey]:
        """Oldest first, expired ones too; everybody's without an owner."""
        ...

    async def end_key(self, key_id: str, *, after: float = 0.0) -> ApiKey | None:
        """Have it expire in so many seconds, unless it does so before; None if there is none."""
        ...
