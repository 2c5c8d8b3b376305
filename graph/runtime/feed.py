"""What a run tells while it is stepped in this process: its readers here need not look for it."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from graph.runtime.models import Claim, Event

KEPT = 1000  # events; whoever is further behind reads what is stored


class Feed:
    """Gives events their numbers before they are stored.

    While a claim holds, nobody else's events are numbered; the store leaves out numbers that a
    claim which was lost may have given (see ADR 0027).
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._events: deque[Event] = deque()
        self._since: int | None = None  # all that the run told after this number is here
        self._last = 0

    def begin(self, claim: Claim) -> None:
        """Number on from where this claim found the thread."""
        self._last = claim.told
        if self._since is None:
            self._since = 0 if claim.attempts == 1 else claim.told

    def show(self, events: Sequence[Event]) -> list[Event]:
        """The events, numbered as they will be stored; their readers have them now."""
        numbered = [replace(e, seq=self._last + place) for place, e in enumerate(events, 1)]
        self._last += len(numbered)
        self._events.extend(numbered)
        while len(self._events) > KEPT:
            self._since = self._events.popleft().seq
        if numbered:
            self._told()
        return numbered

    def reaches(self, seq: int) -> bool:
        """Whether it has all that came after this number."""
        return self._since is not None and seq >= self._since

    def after(self, seq: int) -> tuple[Event, ...]:
        """What came after this number; nothing for one that it does not reach."""
        return tuple(e for e in self._events if e.seq > seq) if self.reaches(seq) else ()
