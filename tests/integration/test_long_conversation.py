"""What a turn costs after 300 turns of 1 KB: the Messages server's own count, printed.

`pytest tests/integration/test_long_conversation.py -s` shows the figures.
"""

from statistics import mean
from typing import Any

from graph.agents import chat
from graph.agents.tools import TOOLS
from graph.llm import tokens
from graph.llm.chat import Claude
from graph.runtime.models import RunStatus
from infra.local.messages import MessagesServer
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline

TURNS = 300
KILOBYTE = 1024
SPREAD = 10  # turns: the window fills and is folded, so one turn alone says little
FEW = [tool for tool in TOOLS if tool.name in ("calculate", "read_result")]


def turn(n: int) -> str:
    """A kilobyte that no tool is asked for, and a fact that is told once."""
    told = f"My box {n} is blue. "
    return told + ("So we went on with it " * 50)[: KILOBYTE - len(told)]


def input_by_turn(driven: Driver) -> list[tuple[int, int]]:
    """The input tokens of each turn: of its last call, and of all, summaries and routes too."""
    by_run: dict[str, list[Any]] = {}
    for call in driven.store.tables.calls:
        by_run.setdefault(call.run_id, []).append(call.spent)
    return [
        (
            next(s.input_tokens for s in spent if s.node == "think"),
            sum(s.input_tokens for s in spent),
        )
        for spent in by_run.values()
    ]


async def test_a_turn_costs_the_same_after_300_turns_and_the_transcript_is_whole(
    offline: MessagesServer,
) -> None:
    driven = Driver(chat.build(tools=FEW).compile())
    for n in range(TURNS):
        run = await driven.run({"messages": [{"role": "user", "content": turn(n)}]})
        assert run.status is RunStatus.SUCCESS, run.error
    sent = input_by_turn(driven)
    transcript = (await driven.values())["messages"]
    assert [m.text for m in transcript if m.type == "human"] == [turn(n) for n in range(TURNS)]
    replayed = await tokens.count(Claude(), transcript[:-1])

    around_30 = mean(total for _, total in sent[30 - SPREAD : 30])
    around_300 = mean(total for _, total in sent[-SPREAD:])
    answers_30 = mean(answer for answer, _ in sent[30 - SPREAD : 30])
    answers_300 = mean(answer for answer, _ in sent[-SPREAD:])
    print(
        f"\ninput tokens a turn, by the server's count ({TURNS} turns of 1 KB):\n"
        f"  turn 30 alone {sent[29][0]}, turn 300 alone {sent[-1][0]}\n"
        f"  mean of 10 turns to turn 30: {answers_30:.0f} to answer, {around_30:.0f} in all\n"
        f"  mean of 10 turns to turn 300: {answers_300:.0f} to answer, {around_300:.0f} in all\n"
        f"  replaying everything at turn 300: {replayed}, "
        f"{replayed / around_300:.1f} times as many\n"
        f"  most that any turn sent: {max(answer for answer, _ in sent)}"
    )
    assert abs(sent[-1][0] / sent[29][0] - 1) < 0.1
    assert abs(answers_300 / answers_30 - 1) < 0.1
    assert abs(around_300 / around_30 - 1) < 0.1
    assert replayed > 10 * around_300
