"""Every error Baton raises, split by who must act.

AgentError
  UserError            the caller is wrong: a 4xx, nothing changed, never retried
    NotFound           unknown (or somebody else's) thread, run, assistant or checkpoint
    Conflict           the thread is busy, exists already, or waits for nothing
    Moved              the thread is not where the caller believes it to be
    BadInput           the request cannot be understood
    TooMany            the owner has as many unfinished runs as they may have
  PermanentFailure     a node gives up: the run fails, no retry
  Outgrown             the deployed graph cannot go on from the thread's state: the run fails
    NodeNotFound       a node that the thread waits for is gone
    InterruptNotFound  a question that was answered is not asked any more
    MigrationFailed    the graph's `migrate` did not give a state that it could go on from
    Refused            the graph's `revalidate` would not go on
  LostClaim            another invocation has taken the thread over: write nothing, drop it
  Unavailable          Postgres or the queue did not answer: the message comes back
    KeyMissing         a value is sealed with a key that this process was not given
    Tampered           a sealed value was changed, or put where it does not belong
  Undelivered          somebody outside did not take what was sent: it is sent again
    Gone               and never will
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


class Moved(UserError):
    """The thread has moved on from the checkpoint that the request was made for."""


class BadInput(UserError):
    """The request cannot be understood."""


class TooMany(UserError):
    """The owner has as many unfinished runs as they may have: one must end first."""


class PermanentFailure(AgentError):
    """Raise it in a node to end the run as `error` whatever the retry policy says."""


class Outgrown(AgentError):
    """The deployed graph cannot go on from the state that the thread is in; nothing was saved."""


class NodeNotFound(Outgrown):
    """The thread waits for a node that the deployed graph does not have."""


class InterruptNotFound(Outgrown):
    """A node that waited for an answer finished without asking for it."""


class MigrationFailed(Outgrown):
    """The graph's `migrate` raised, or gave no state of the graph."""


class Refused(Outgrown):
    """The graph's `revalidate` raised: it would not go on, or gave no change of the state."""


class LostClaim(AgentError):
    """The claim's fence has moved on; nothing was written."""


class Unavailable(AgentError):
    """A part Baton depends on did not answer; the invocation fails and is tried again."""


class KeyMissing(Unavailable):
    """A value is sealed with a key that is not configured; nothing is lost, and nothing goes on."""


class Tampered(Unavailable):
    """A sealed value is not what was sealed there."""


class Undelivered(AgentError):
    """Somebody outside did not take what was sent; it is sent again later."""


class Gone(Undelivered):
    """There is nobody any more to send it to."""


class BadProject(AgentError):
    """langgraph.json, or a graph it names, cannot be loaded."""
