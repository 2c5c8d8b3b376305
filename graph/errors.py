"""Every error Baton raises, split by who must act.

AgentError
  UserError            the caller is wrong: a 4xx, nothing changed, never retried
    NotFound           unknown (or somebody else's) thread, run, assistant or checkpoint
    Conflict           the thread is busy, exists already, or waits for nothing
    BadInput           the request cannot be understood
  PermanentFailure     a node gives up: the run fails, no retry
  LostClaim            another invocation has taken the thread over: write nothing, drop it
  Unavailable          Postgres or the queue did not answer: the message comes back
  BadProject           langgraph.json or a graph it names cannot be loaded

A node that wants to wait raises a signal instead: graph/signals.py.
"""


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
