"""Holds calls of models and tools to a run's and its thread's ceilings: each asks first."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from langgraph.errors import GraphBubbleUp

from graph.ceilings import RAISE, Budget, Ceilings
from graph.errors import PermanentFailure
from graph.usage import Spent, Totals, total

Json = dict[str, Any]

TURN = 0.01  # seconds between two looks at what other calls have spent


class BudgetSpent(PermanentFailure):
    """A ceiling is reached, and the run asked for an error."""


class Stopped(GraphBubbleUp):
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
    flying: list[Totals] = field(default_factory=list)  # the most that calls being made can cost

    @property
    def full(self) -> bool:
        """Whether the calls that are being made may use up a ceiling."""
        here = sum(self.flying, total(self.noted))
        pairs = ((self.budget, self.run + here), (self.budget.thread, self.thread + here))
        return any(
            limit is not None and spent >= limit
            for ceilings, totals in pairs
            for limit, spent in (
                (ceilings.usd, totals.usd),
                (ceilings.tokens, totals.tokens),
                (ceilings.model_calls, totals.calls),
            )
        )

    @property
    def nearly_spent(self) -> bool:
        """Whether so much of a ceiling in USD is spent that calls should be cheaper."""
        here = total(self.noted).usd
        pairs = ((self.budget.usd, self.run.usd), (self.budget.thread.usd, self.thread.usd))
        share = Decimal(str(self.budget.cheaper_at))
        return any(limit and before + here >= limit * share for limit, before in pairs)

    def check(self, *, tool: bool = False) -> None:
        """Raises Stopped or BudgetSpent when no model, or no tool, may be called any more."""
        here = total(self.noted)
        steps = {"steps": self.steps}
        self._compare("run", self.budget, _facts(self.run + here) | steps, tool)
        self._compare("thread", self.budget.thread, _facts(self.thread + here), tool)

    def _compare(self, whose: str, ceilings: Ceilings, spent: Json, tool: bool) -> None:
        limits = ceilings.model_dump(
            exclude_none=True, exclude={"thread", "at_ceiling", "cheaper_at"}
        )
        # A model may still answer when there are no more tools for it to call.
        limits = {name: limit for name, limit in limits.items() if (name == "tool_calls") is tool}
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
            f"the budget is in USD, but {unpriced} has no price: list it in graph/prices.json "
            "or set `tokens` or `model_calls` instead"
        )
    account.check()


def check_tool() -> None:
    """Ask before a tool is called; raises Stopped or BudgetSpent at a ceiling on tool calls."""
    account = _account.get()
    if account is not None:
        account.check(tool=True)


@asynccontextmanager
async def held(most: Totals, *, unpriced: str | None) -> AsyncIterator[None]:
    """A model call that costs `most` at most; what it did cost is to be noted within.

    Raises as `check`. Calls that are made at once wait for each other while those in flight may
    use up a ceiling: so it is passed by less than one call.
    """
    account = _account.get()
    check(unpriced=unpriced)
    if account is None:
        yield
        return
    while account.flying and account.full:
        await asyncio.sleep(TURN)
        check(unpriced=unpriced)
    account.flying.append(most)
    try:
        yield
    finally:
        account.flying.remove(most)


def commit(most: Totals, *, unpriced: str | None, asked: bool) -> bool:
    """Count a call that ends after the step: for now it may cost `most`.

    False when there is no room for it until others have ended; what is `asked` already has some.
    Raises as `check` for one that is not.
    """
    account = _account.get()
    if not asked:
        check(unpriced=unpriced)
    if account is None:
        return True
    if not asked and account.flying and account.full:
        return False
    account.flying.append(most)
    return True


def nearly_spent() -> bool:
    """Whether a ceiling in USD is so near that a cheaper model should be asked."""
    account = _account.get()
    return account is not None and account.nearly_spent


def _facts(spent: Totals) -> Json:
    return {
        "usd": spent.usd,
        "tokens": spent.tokens,
        "model_calls": spent.calls,
        "tool_calls": spent.tool_calls,
    }


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
