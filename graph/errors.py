"""Every error Baton raises, split by who must act.

AgentError
  UserError            the caller is wrong: a 4xx, nothing changed, never retried
    NotFound           unknown (or somebody else's) thread, run, assistant or checkpoint
    Conflict           the thread is busy, exists already, or waits for nothing
    BadInput           the request cannot be understood
  PermanentFailure     a node gives up: the run fails, no retry
  LostClaim            another invocation has taken the thread over: write nothing, drop the message
  Unavailable          Postgres or the queue did not answer: fail the invocation, the message comes back
  BadProject           langgraph.json or a graph it names cannot be loaded
Signal                 raised by a node to wait without paying; not caught by `except Exception`
  RetryLater(seconds)  run this node again after a delay
  WaitUntil(time)      run this node again at a time
"""

from datetime import UTC, datetime, timedelta


class AgentError(Exception):
    """The root of Baton's errors."""


class UserError(AgentError):
    """The request is wrong; the message says what, where, and what to do."""


class NotFound(UserError):
    """There is no such thing for this owner."""


class Conflict(UserError):
    """The request does not fit the state the thread is in."""


class BadInput(UserError):
    """The request cannot be understood."""


class PermanentFailure(AgentError):
    """Raise it in a node to end the run as `error` whatever the retry policy says."""


class LostClaim(AgentError):
    """The claim's fence has moved on; nothing was written."""


class Unavailable(AgentError):
    """A part Baton depends on did not answer; the invocation fails and is tried again."""


class BadProject(AgentError):
    """langgraph.json, or a graph it names, cannot be loaded."""


class Signal(BaseException):
    """A node's request to be run again later; no invocation sleeps meanwhile.

    A BaseException, so that a node's own `except Exception` cannot swallow it.
    """

    def __init__(self, wake_at: datetime, reason: str = "") -> None:
        super().__init__(reason or f"waits until {wake_at.isoformat()}")
        self.wake_at = wake_at


class RetryLater(Signal):
    """Run this node again after `seconds`: a rate limit, a busy peer, a poll."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(datetime.now(UTC) + timedelta(seconds=seconds), reason)


class WaitUntil(Signal):
    """Run this node again at `time` (with a time zone): a durable timer."""

    def __init__(self, time: datetime, reason: str = "") -> None:
        if time.tzinfo is None:
            raise ValueError("WaitUntil needs a time with a time zone")
        super().__init__(time, reason)
