"""Holds model calls to a run's and its thread's ceilings: each asks before it is made."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from graph.ceilings import RAISE, Budget, Ceilings
from graph.errors import PermanentFailure
from graph.signals import Signal
from graph.usage import Spent, Totals, total

Json = dict[str, Any]


class BudgetSpent(PermanentFailure):
    """A ceiling is reached, and the run asked for an error."""


class Stopped(Signal):
    """A ceiling is reached: the run stops as an interrupt until a person raises it."""

    def __init__(self, question: Json) -> None:
        super().__init__(str(question["question"]))
        self.question = question


@dataclass(frozen=True, slots=True)
class Account:
    """A budget, what was spent before this step, and what this step spends."""

    budget: Budget
    run: Totals
    thread: Totals
    steps: int  # the run has taken
    noted: Sequence[Spent]

    def check(self) -> None:
        """Raises Stopped or BudgetSpent when nothing more may be spent."""
        here = total(self.noted)
        steps = {"steps": self.steps}
        self._compare("run", self.budget, _facts(self.run + here) | steps)
        self._compare("thread", self.budget.thread, _facts(self.thread + here))

    def _compare(self, whose: str, ceilings: Ceilings, spent: Json) -> None:
        limits = ceilings.model_dump(exclude_none=True, exclude={"thread", "at_ceiling"})
        reached = {name: _plain(limit) for name, limit in limits.items() if spent[name] >= limit}
        if not reached:
            return
        told = {name: _plain(value) for name, value in spent.items()}
        text = f"the {whose}'s budget is spent: {told}, and the ceiling is {reached}"
        if self.budget.at_ceiling == "error":
            raise BudgetSpent(text)
        higher = {name: limit * 2 for name, limit in reached.items()}
        raised = higher if whose == "run" else {"thread": higher}
        raise Stopped(
            {
                "question": f"{text}. Go on?",
                "whose": whose,
                "spent": told,
                "ceiling": reached,
                "answer_with": {RAISE: raised},
            }
        )


_account: ContextVar[Account | None] = ContextVar("baton_account", default=None)


@contextmanager
def within(account: Account) -> Iterator[None]:
    """Holds the block, and the tasks and threads it starts, to a budget."""
    token = _account.set(account)
    try:
        yield
    finally:
        _account.reset(token)


def check(*, unpriced: str | None) -> None:
    """Ask before a model call; `unpriced` names a model whose price nobody knows.

    Raises Stopped or BudgetSpent at a ceiling, and PermanentFailure when a ceiling in US dollars
    could not be held. Outside a step that Baton runs nothing is held to anything.
    """
    account = _account.get()
    if account is None:
        return
    budget = account.budget
    if unpriced and (budget.usd or budget.thread.usd):
        raise PermanentFailure(
            f"the budget is in USD, but {unpriced} has no price: list it in graph/llm/prices.json "
            "or set `tokens` or `model_calls` instead"
        )
    account.check()


def _facts(spent: Totals) -> Json:
    return {"usd": spent.usd, "tokens": spent.tokens, "model_calls": spent.calls}


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
