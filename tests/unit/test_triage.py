"""The triage agent, whole, stepped message by message against the offline model."""

from typing import Any

import pytest

from graph.agents import triage
from graph.agents.documents import Passage
from graph.runtime.models import RunStatus, ThreadStatus
from infra.local.messages import MessagesServer
from tests.fixtures.crashing import CrashingDriver
from tests.fixtures.driver import OWNER, Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

BILL = {"ticket": "I was charged twice on my invoice for May.", "sender": "ann@example.com"}
BREACH = {
    "ticket": "Our account was hacked: somebody has stolen the customer list.",
    "sender": "bob@example.com",
}


class Outbox:
    """Keeps one answer for each effect key, as the table does, and counts the attempts."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, str, str]] = {}
        self.attempts = 0

    async def put(self, recipient: str, body: str, *, owner: str, effect_key: str) -> None:
        self.attempts += 1
        self.sent.setdefault(effect_key, (owner, recipient, body))


async def find(query: str, limit: int) -> list[Passage]:
    text = "An invoice that was charged twice is refunded within five days."
    return [Passage("refunds.md", "Refunds", text, 1.0)][:limit]


def driver(outbox: Outbox, kind: type[Driver] = Driver) -> Driver:
    return kind(triage.build(find=find, put=outbox.put).compile(), deliveries=2)


async def test_a_ticket_is_classified_answered_by_its_specialist_and_sent(
    offline: MessagesServer,
) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    run = await driven.run(BILL)
    assert run.status is RunStatus.SUCCESS
    values = await driven.values()
    assert (values["category"], values["priority"]) == ("billing", "high")
    assert values["reasoning"]
    assert "refunded within five days" in values["draft"]
    assert values["outcome"] == "sent"
    assert list(outbox.sent.values()) == [(OWNER, "ann@example.com", values["draft"])]
    assert triage.SPECIALISTS["billing"] in str(offline.received[-1]["messages"])


async def test_each_node_is_one_step_and_a_duplicate_takes_none(offline: MessagesServer) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BILL)
    assert driven.outcomes == ["more", "duplicate", "more", "duplicate", "done", "duplicate"]
    assert outbox.attempts == 1


async def test_what_is_critical_waits_for_a_person(offline: MessagesServer) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    run = await driven.run(BREACH)
    assert run.status is RunStatus.INTERRUPTED
    thread = await driven.thread()
    assert thread.status is ThreadStatus.INTERRUPTED
    ((asked,),) = thread.interrupts.values()
    assert asked["value"]["draft"] == (await driven.values())["draft"]
    assert (asked["value"]["category"], asked["value"]["priority"]) == ("security", "critical")
    assert outbox.attempts == 0


@pytest.mark.parametrize("answer", ["approve", {"decision": "approve"}])
async def test_an_approved_draft_is_sent_as_it_is(offline: MessagesServer, answer: Any) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BREACH)
    draft = (await driven.values())["draft"]
    run = await driven.run(command={"resume": answer})
    assert run.status is RunStatus.SUCCESS
    assert list(outbox.sent.values()) == [(OWNER, "bob@example.com", draft)]


async def test_an_edited_draft_is_sent_as_edited(offline: MessagesServer) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BREACH)
    await driven.run(command={"resume": {"decision": "edit", "draft": "Call us."}})
    assert list(outbox.sent.values()) == [(OWNER, "bob@example.com", "Call us.")]
    assert (await driven.values())["draft"] == "Call us."


async def test_a_rejected_draft_is_not_sent(offline: MessagesServer) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BREACH)
    run = await driven.run(command={"resume": "reject"})
    assert run.status is RunStatus.SUCCESS
    assert (await driven.values())["outcome"] == "rejected"
    assert outbox.attempts == 0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("yes", "Input should be 'approve', 'edit' or 'reject'"),
        ({"decision": "edit"}, "`draft` is the new text"),
        ({"decision": "approve", "draft": "Else"}, "`draft` is the new text"),
        (7, "valid dictionary"),
        ({"decision": "approve", "by": "me"}, "Extra inputs"),
    ],
)
async def test_an_answer_that_cannot_be_understood_is_asked_for_again(
    offline: MessagesServer, answer: Any, problem: str
) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BREACH)
    again = await driven.run(command={"resume": answer})
    assert again.status is RunStatus.INTERRUPTED
    ((asked,),) = (await driven.thread()).interrupts.values()
    assert problem in asked["value"]["problem"]
    assert outbox.attempts == 0
    await driven.run(command={"resume": "approve"})
    assert len(outbox.sent) == 1


@pytest.mark.parametrize("ticket", [BILL, BREACH])
async def test_a_crash_after_every_effect_sends_one_answer(
    offline: MessagesServer, ticket: dict[str, str]
) -> None:
    outbox = Outbox()
    driven = driver(outbox, CrashingDriver)
    assert isinstance(driven, CrashingDriver)
    run = await driven.run(ticket)
    if run.status is RunStatus.INTERRUPTED:
        run = await driven.run(command={"resume": "approve"})
    assert run.status is RunStatus.SUCCESS
    assert driven.crashes >= 3
    assert outbox.attempts == 2
    assert len(outbox.sent) == 1


async def test_a_second_ticket_on_a_thread_starts_over(offline: MessagesServer) -> None:
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BREACH)
    await driven.run(command={"resume": "reject"})
    await driven.run({"ticket": "Thanks, only an idea: more colours.", "sender": "c@example.com"})
    values = await driven.values()
    assert (values["category"], values["priority"]) == ("general", "low")
    assert values["outcome"] == "sent"
    assert [recipient for _, recipient, _ in outbox.sent.values()] == ["c@example.com"]


async def test_a_wrong_classification_is_asked_for_again(scripted: list[Any]) -> None:
    scripted += [
        {"category": "sales", "priority": "high", "reasoning": "So."},
        {"category": "technical", "priority": "low", "reasoning": "So."},
        "Turn it off and on again.",
    ]
    outbox = Outbox()
    driven = driver(outbox)
    await driven.run(BILL)
    assert (await driven.values())["category"] == "technical"
    assert len(outbox.sent) == 1


@pytest.mark.parametrize("given", [{}, {"ticket": " ", "sender": "a@b"}, {"ticket": "Help"}])
async def test_a_run_without_a_ticket_fails_clearly(given: dict[str, str]) -> None:
    run = await driver(Outbox()).run(given)
    assert run.status is RunStatus.ERROR
    assert run.error is not None
    assert "triage needs" in run.error["message"] or "input" in run.error["message"].lower()
