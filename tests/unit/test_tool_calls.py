"""Calls of tools are rows beside calls of models, and have a ceiling of their own."""

from typing import Any

import pytest
from pydantic import BaseModel

from graph.agents import chat
from graph.agents.toolbox import CannotDo, Tool
from graph.runtime.models import RunStatus
from graph.usage import Totals
from infra.local.messages import MessagesServer
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted
from tests.unit.test_budgets import asking, question, resume
from tests.unit.test_chat import calls, say


class Number(BaseModel):
    """Count."""

    n: int


class Counter:
    """A tool that says how often it was called with what."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    async def run(self, args: Number) -> str:
        self.seen.append(args.n)
        if args.n < 0:
            raise CannotDo("Not below nothing.")
        return f"{args.n} seen"


@pytest.fixture
def counter() -> Counter:
    return Counter()


def driver(counter: Counter) -> Driver:
    tool = Tool("count", Number, counter.run, failed="No.")
    return Driver(chat.build(tools=[tool]).compile(), deliveries=2)


def at_once(*numbers: int) -> dict[str, Any]:
    return calls(*[("count", {"n": n}) for n in numbers])


def tool_rows(driven: Driver) -> list[Any]:
    return [row for row in driven.store.tables.calls if row.spent.model.startswith("tool:")]


async def test_each_call_is_a_row_failed_ones_too(scripted: list[Any], counter: Counter) -> None:
    scripted += [at_once(1, -1), "Done."]
    driven = driver(counter)
    run = await driven.run(say("Count."))
    assert [
        (r.owner, r.thread_id, r.run_id, r.seq, r.spent.node, r.spent.model, r.spent.usd)
        for r in tool_rows(driven)
    ] == [(OWNER, "thread", run.run_id, 2, "use_tool", "tool:count", 0)] * 2
    assert (run.spent.calls, run.spent.tool_calls) == (2, 2)
    assert (await driven.thread()).spent == run.spent


async def test_calls_made_at_once_stop_exactly_at_the_ceiling_and_go_on_when_it_is_raised(
    scripted: list[Any], counter: Counter
) -> None:
    scripted += [at_once(1, 2, 3, 4, 5), "Done."]
    driven = driver(counter)
    run = await driven.run(say("Count."), **asking(tool_calls=2))
    assert run.status is RunStatus.INTERRUPTED
    assert len(counter.seen) == run.spent.tool_calls == 2
    asked = await question(driven)
    assert asked["ceiling"] == {"tool_calls": 2}
    run = await resume(driven, {"raise_budget": {"tool_calls": 10}})
    assert run.status is RunStatus.SUCCESS, run.error
    assert sorted(counter.seen) == [1, 2, 3, 4, 5]
    assert (await driven.thread()).spent.tool_calls == 5


async def test_the_model_may_answer_when_no_more_tools_may_be_called(
    scripted: list[Any], counter: Counter
) -> None:
    scripted += [at_once(1), "Done."]
    run = await driver(counter).run(say("Count."), **asking(tool_calls=1))
    assert run.status is RunStatus.SUCCESS


async def test_a_ceiling_may_end_the_run_as_an_error(scripted: list[Any], counter: Counter) -> None:
    scripted += [at_once(1), at_once(2)]
    run = await driver(counter).run(say("Count."), **asking(tool_calls=1, at_ceiling="error"))
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert run.error["error"] == "BudgetSpent"
    assert counter.seen == [1]


async def test_a_threads_ceiling_counts_its_earlier_runs(
    scripted: list[Any], counter: Counter
) -> None:
    scripted += [at_once(1), "Done.", at_once(2)]
    driven = driver(counter)
    await driven.run(say("Count."), **asking(thread={"tool_calls": 1}))
    run = await driven.run(say("Count."), **asking(thread={"tool_calls": 1}))
    assert run.status is RunStatus.INTERRUPTED
    assert (await question(driven))["whose"] == "thread"
    assert counter.seen == [1]


async def test_a_ceiling_on_model_calls_does_not_stop_the_tools_that_were_asked_for(
    offline: MessagesServer, scripted: list[Any], counter: Counter
) -> None:
    scripted += [at_once(1)]
    driven = driver(counter)
    run = await driven.run(say("Count."), **asking(model_calls=1))
    assert run.status is RunStatus.INTERRUPTED
    assert counter.seen == [1]
    assert run.spent.calls == 1


def test_totals_add_tool_calls_apart() -> None:
    assert Totals(1, 2, tool_calls=3) + Totals(4, 5, tool_calls=6) == Totals(5, 7, tool_calls=9)
