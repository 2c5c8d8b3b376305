"""What infra/monitoring.yaml counts in the step function's log is really there."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

from graph.errors import LostClaim
from graph.llm.chat import Claude
from tests.fixtures.around import fails
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

MONITORING = (Path(__file__).parents[2] / "infra" / "monitoring.yaml").read_text()
HAIKU = {"model": "claude-haiku-5-5", "usage": {"input_tokens": 1000, "output_tokens": 100}}


async def think(state: MessagesState) -> Any:
    return {"messages": [await Claude().ainvoke(state["messages"])]}


def graph() -> Any:
    return StateGraph(MessagesState).add_node("think", think).add_edge(START, "think").compile()


def fields(name: str) -> set[str]:
    """The fields of a log line that a metric filter looks at."""
    (part,) = re.findall(rf"\n  {name}:\n.*?\n\n", MONITORING, re.DOTALL)
    return set(re.findall(r"\$\.(\w+)", part))


async def test_a_step_logs_what_its_calls_cost(
    scripted: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    scripted += [HAIKU]
    with caplog.at_level(logging.INFO, "baton.step"):
        await Driver(graph()).run({"messages": [("user", "Hello")]})
    logged = [record for record in caplog.records if hasattr(record, "usd")]

    assert fields("Spend") == {"usd"}
    assert [vars(record)["usd"] for record in logged] == [pytest.approx(0.00015)]


async def test_a_lost_claim_is_logged_as_lost_with_what_it_cost_in_vain(
    scripted: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    scripted += [HAIKU]
    driven = Driver(graph())
    fails(driven.store.advance, LostClaim("somebody else has it"))
    await driven.ask({"messages": [("user", "Hello")]})
    job = await driven.queue.receive()
    assert job is not None
    with caplog.at_level(logging.WARNING, "baton.step"):
        assert await driven.deliver(job) == "lost"
    (lost,) = [record for record in caplog.records if getattr(record, "outcome", "") == "lost"]

    assert fields("LostClaims") == {"outcome"}
    assert vars(lost)["usd"] == pytest.approx(0.00015)
