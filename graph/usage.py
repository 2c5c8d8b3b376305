"""What calls of models and tools spend: noted where one is made, stored with the step."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal

TOOL = "tool:"  # a tool's call is noted under this and its name


@dataclass(frozen=True, slots=True)
class Spent:
    """One call of a model, or of a tool, finished or broken off."""

    call_id: str
    node: str
    model: str  # for a tool TOOL and its name
    input_tokens: int  # all that was sent, cached or not
    output_tokens: int
    cached_tokens: int  # of the input, read from the API's cache
    usd: Decimal | None  # None: the model has no known price
    ms: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run, or all of a thread's, has spent."""

    calls: int = 0  # of models
    tokens: int = 0  # sent and received
    usd: Decimal = Decimal(0)
    tool_calls: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.usd + other.usd,
            self.tool_calls + other.tool_calls,
        )


NOTHING = Totals()


def total(spent: Iterable[Spent]) -> Totals:
    """The sum of some calls."""
    return sum((_one(call) for call in spent), NOTHING)


def _one(call: Spent) -> Totals:
    if call.model.startswith(TOOL):
        return Totals(tool_calls=1)
    return Totals(1, call.input_tokens + call.output_tokens, call.usd or Decimal(0))


_noted: ContextVar[list[Spent] | None] = ContextVar("baton_spent", default=None)


@contextmanager
def noting() -> Iterator[list[Spent]]:
    """Collects what is noted in the block, and in the tasks and threads it starts."""
    spent: list[Spent] = []
    token = _noted.set(spent)
    try:
        yield spent
    finally:
        _noted.reset(token)


def noted() -> list[Spent]:
    """The list that `noting` collects in, an empty one elsewhere."""
    collected = _noted.get()
    return [] if collected is None else collected


def note(spent: Spent) -> None:
    """Note a call; outside a step that Baton runs nobody asks."""
    collected = _noted.get()
    if collected is not None:
        collected.append(spent)
