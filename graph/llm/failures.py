"""What becomes of a call that failed: it is made again later, a bounded number of times."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from graph.calls import caller
from graph.errors import PermanentFailure
from graph.llm.router import Call
from graph.llm.settings import model_settings
from graph.signals import CallFailed

if TYPE_CHECKING:
    from anthropic import APIStatusError

BACKOFF = 4.0  # seconds after the first failure, twice as many after each that follows
LONGEST = 300.0
LONGEST_SAID = 3600.0  # whatever the API says
BUSY = ("rate_limit_error", "overloaded_error", "api_error", "timeout_error")


class Limited(CallFailed):
    """The API said that a rate limit is reached; nobody should use the key for `pause` seconds."""

    def __init__(self, seconds: float, reason: str, *, pause: float) -> None:
        super().__init__(seconds, reason)
        self.pause = pause


@asynccontextmanager
async def retried(call: Call, *, timeout: float) -> AsyncIterator[None]:
    """Makes CallFailed of what may go well later, and notes whether the API took the call at all.

    Raises PermanentFailure when a step has had too many.
    """
    import anthropic  # thousands of modules, wanted only where a model is called
    import httpx2  # the SDK's own; it wraps none of these inside a stream

    try:
        async with asyncio.timeout(timeout) as limit:
            yield
    except anthropic.APIStatusError as error:
        call.refused = call.made is None
        if not _passes(error):
            raise
        said = f"{error.type or error.status_code}: {error.api_message}"
        raise _later(said, retry_after(error), limited=_limited(error)) from error
    except (anthropic.APIConnectionError, httpx2.TransportError) as error:
        raise _later(f"{call.model} was not reached: {error!r}") from error
    except TimeoutError as error:
        if limit.expired():
            raise _later(f"{call.model} took longer than {timeout:.0f} s") from error
        raise


def _passes(error: "APIStatusError") -> bool:
    # An error inside a stream has the stream's status, 200; only its type tells.
    return error.status_code in (408, 409, 429) or error.status_code >= 500 or error.type in BUSY


def _limited(error: "APIStatusError") -> bool:
    return error.status_code == 429 or error.type == "rate_limit_error"


def _later(said: str, wait: float | None = None, *, limited: bool = False) -> Exception:
    """The signal to end the step with, or what ends its run."""
    step = caller()
    before = step.failures if step else 0
    if before + 1 >= model_settings().BATON_MODEL_FAILURES:
        return PermanentFailure(f"{before + 1} calls failed one after the other, the last: {said}")
    later = backoff(before) if wait is None else jittered(wait)
    if limited:
        return Limited(later, said, pause=later if wait is None else wait)
    return CallFailed(later, said)


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures and one more."""
    longest = min(BACKOFF * 2 ** min(failures, 10), LONGEST)
    return random.uniform(longest / 2, longest)


def jittered(wait: float) -> float:
    """No less than that, and not all at the same moment."""
    return wait + random.uniform(0, max(1.0, wait / 4))


def retry_after(error: "APIStatusError") -> float | None:
    """The seconds that the API says, if it does."""
    try:
        said = float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return None if said != said else min(max(said, 0.0), LONGEST_SAID)
