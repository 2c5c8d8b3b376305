"""API keys, as they are kept."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret, of which only a digest is kept."""

    key_id: str
    owner: str
    name: str
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None  # within the hour
