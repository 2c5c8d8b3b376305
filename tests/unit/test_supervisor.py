"""The supervisor's team, against the offline model: whatever it says, there is an end."""

from typing import Any

import pytest
from pydantic import BaseModel

from graph.agents import supervisor
from graph.runtime.models import RunStatus
from infra.local.messages import MessagesServer
from tests.fixtures.crashing import CrashingDriver
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted
from tests.unit.test_research import LIBRARY, TOWERS, Library

QUESTION = "How did Fresnel lenses help sailors?"


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def driver(library: Library | None = None, kind: type[Driver] = Driver) -> Driver:
    library = library or Library(**LIBRARY)
    return kind(supervisor.build(find=library.find).compile(), deliveries=2)


def team(values: dict[str, Any]) -> list[str]:
    return [found["by"] for found in values["findings"]]


async def test_a_question_is_researched_and_its_answer_written(offline: MessagesServer) -> None:
    driven = driver()
    run = await driven.run(say(QUESTION))
    assert run.status is RunStatus.SUCCESS, run.error
    values = await driven.values()
    assert team(values) == ["researcher", "writer"]
    assert values["messages"][-1].text == values["findings"][-1]["report"]
    assert "Fresnel lenses bend the light" in values["messages"][-1].text


async def test_the_analyst_calculates(offline: MessagesServer) -> None:
    driven = driver()
    await driven.run(say("Calculate the sum 12 + 30 for the Fresnel lenses."))
    values = await driven.values()
    assert set(team(values)) == {"analyst", "researcher", "writer"}
    (report,) = (found["report"] for found in values["findings"] if found["by"] == "analyst")
    assert "12 + 30 = 42" in report


async def test_every_step_may_crash(offline: MessagesServer) -> None:
    driven = driver(kind=CrashingDriver)
    run = await driven.run(say(QUESTION))
    assert run.status is RunStatus.SUCCESS, run.error
    assert isinstance(driven, CrashingDriver)
    assert driven.crashes >= 8
    assert team(await driven.values()) == ["researcher", "writer"]


@pytest.fixture
def obstinate(offline: MessagesServer, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the supervisor is made to say, every time it is asked; others do their work."""
    said: list[Any] = []

    async def word(model: Any, messages: Any, answer: type[BaseModel]) -> Any:
        try:
            return answer.model_validate(said[0])
        except ValueError:
            return None

    monkeypatch.setattr(supervisor, "decide", word)
    return said


@pytest.mark.parametrize("nonsense", [{"member": "poet"}, {}, "researcher", {"member": "finish"}])
async def test_an_invalid_route_leads_to_the_end(obstinate: list[Any], nonsense: Any) -> None:
    obstinate.append(nonsense)
    driven = driver()
    run = await driven.run(say(QUESTION))
    assert run.status is RunStatus.SUCCESS, run.error
    assert team(await driven.values()) == ["researcher", "writer"]


@pytest.mark.parametrize("member", ["researcher", "analyst", "writer"])
async def test_one_who_is_sent_again_and_again_does_the_same_work_once(
    obstinate: list[Any], member: str
) -> None:
    obstinate.append({"member": member})
    driven = driver()
    run = await driven.run(say(QUESTION))
    assert run.status is RunStatus.SUCCESS, run.error
    worked = team(await driven.values())
    assert worked.count(member) == 1
    assert worked[-1] == "writer"


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_turns_are_bounded_though_every_order_is_new(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    orders = iter(range(99))

    async def word(model: Any, messages: Any, answer: Any) -> Any:
        return answer(member="analyst", order=f"Order {next(orders)}")

    monkeypatch.setattr(supervisor, "decide", word)
    driven = driver()
    run = await driven.run(say(QUESTION), context={"max_turns": turns})
    assert run.status is RunStatus.SUCCESS, run.error
    assert team(await driven.values()) == ["analyst"] * turns + ["researcher", "writer"]


async def test_a_conflict_in_the_researchers_sources_is_put_to_a_person(
    offline: MessagesServer,
) -> None:
    driven = driver(Library(**TOWERS), CrashingDriver)
    run = await driven.run(say("How high is the tower?"))
    assert run.status is RunStatus.INTERRUPTED
    ((asked,),) = (await driven.thread()).interrupts.values()
    assert [note["note"] for note in asked["value"]["notes"]] == [1, 2]
    run = await driven.run(command={"resume": {"trust": [2]}})
    assert run.status is RunStatus.SUCCESS, run.error
    answer = (await driven.values())["messages"][-1].text
    assert "45 metres" in answer
    assert "40 metres" not in answer


async def test_who_asks_no_person_is_told_of_the_conflict(offline: MessagesServer) -> None:
    driven = driver(Library(**TOWERS))
    run = await driven.run(say("How high is the tower?"), context={"ask_human": False})
    assert run.status is RunStatus.SUCCESS
    report = (await driven.values())["findings"][0]["report"]
    assert "45 metres" in report
    assert "40 metres" in report


async def test_a_second_question_starts_over(offline: MessagesServer) -> None:
    driven = driver()
    await driven.run(say(QUESTION))
    await driven.run(say("What is heard in fog?"))
    values = await driven.values()
    assert team(values) == ["researcher", "writer"]
    assert "horn" in values["messages"][-1].text
    assert len(values["messages"]) == 4


@pytest.mark.parametrize("given", [{"messages": []}, say("  ")])
async def test_a_run_without_a_task_fails_clearly(given: Any) -> None:
    run = await driver().run(given)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert '"role": "user"' in run.error["message"]
