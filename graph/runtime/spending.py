"""What binds a step's model calls: its budget, and the rows that all workers share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from graph.budgets import Account, within
from graph.call_options import call_options
from graph.calls import Caller, Whose, calling
from graph.ceilings import budget_of
from graph.counting import counting
from graph.runtime.engine import Runtime
from graph.runtime.models import Claim, Run
from graph.usage import NOTHING, noted


@dataclass(frozen=True, slots=True)
class Spending:
    """What a step may spend, and who spends it."""

    account: Account
    caller: Caller

    @contextmanager
    def bound(self) -> Iterator[None]:
        """The block's model calls are this step's."""
        with within(self.account), calling(self.caller), counting():
            yield


async def spending_of(claim: Claim, run: Run, rt: Runtime, *, steps: int) -> Spending:
    """What the run may still spend; raises BadInput.

    What attempts that died had begun to spend is counted first.
    """
    budget, options = budget_of(run.kwargs, rt.budget), call_options(run.kwargs)
    by_run, by_thread = run.spent, claim.spent
    if claim.attempts > 1:
        lost = await rt.store.charge_open(claim.thread_id, claim.owner)
        by_run += lost.get(run.run_id, NOTHING)
        by_thread += sum(lost.values(), NOTHING)
    caller = Caller(
        rt.store,
        Whose(claim.owner, claim.thread_id, run.run_id, claim.seq),
        failures=run.failures,
        background=options.background or "cron_id" in run.metadata,
        batch=options.batch,
        records=budget.limits_calls,
    )
    return Spending(Account(budget, by_run, by_thread, steps, noted()), caller)
