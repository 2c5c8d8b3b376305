"""Whom an `authenticate` handler has let in, remembered by what their requests say."""

import time
from collections.abc import Callable

from fastapi.requests import HTTPConnection

from functions.api.access.callers import Caller
from functions.api.access.identify import Identify
from graph.adapters.auth_config import Cache

Key = tuple[str | None, ...]


class Remembered:
    """Asks once for the same headers, for as long as the project says.

    Refusals are not remembered, nor what none of the headers says anything of.
    """

    def __init__(
        self, ask: Identify, cache: Cache, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._cache, self._clock = ask, cache, clock
        self._known: dict[Key, tuple[float, Caller]] = {}  # until when; the oldest first

    async def __call__(self, request: HTTPConnection) -> Caller:
        key = tuple(request.headers.get(name) for name in self._cache.headers)
        until, known = self._known.get(key, (0.0, None))
        if known is not None and self._clock() < until:
            return known
        caller = await self._ask(request)
        if any(key):
            self._keep(key, caller)
        return caller

    def _keep(self, key: Key, caller: Caller) -> None:
        self._known.pop(key, None)
        while len(self._known) >= self._cache.size:
            del self._known[next(iter(self._known))]
        self._known[key] = self._clock() + self._cache.seconds, caller
