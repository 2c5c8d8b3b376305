"""The last threads that this process stepped, kept so that a step is sent only what is new."""

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

MOST_BYTES = 64_000_000


class Sized(Protocol):
    """What is kept of a thread."""

    @property
    def size(self) -> int:
        """What it takes of memory, in bytes."""
        ...


Kept = TypeVar("Kept", bound=Sized)


class WarmThreads(Generic[Kept]):
    """What was kept last, as much as fits into `most_bytes`; 0 keeps nothing.

    An entry is taken out while somebody works with it: whoever dies, fails or loses its claim on
    the way leaves nothing behind.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.size = 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def take(self, thread_id: str) -> Kept | None:
        kept = self._kept.pop(thread_id, None)
        self.size -= kept.size if kept else 0
        return kept

    def look(self, thread_id: str) -> Kept | None:
        """What is kept, and stays: not to be changed."""
        return self._kept.get(thread_id)

    def keep(self, thread_id: str, kept: Kept) -> None:
        self.take(thread_id)
        self._kept[thread_id] = kept
        self.size += kept.size
        while self.size > self.most_bytes:
            self.take(next(iter(self._kept)))
