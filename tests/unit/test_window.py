"""The window: what a long conversation sends to its model, and what it never loses."""

import os
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from graph.llm import client, tokens
from graph.llm.chat import Claude
from graph.llm.window import Conversation, Window
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

PAD = "la " * 100  # 75 tokens


class Summing(GenericFakeChatModel):
    """A model of somebody else's; `asked` is what it was sent."""

    asked: list[Any]

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(messages)
        return super()._generate(messages, *args, **kwargs)


def summing(*summaries: str) -> Summing:
    return Summing(messages=iter([AIMessage(text) for text in summaries]), asked=[])


def talk(turns: int) -> list[Any]:
    """Turns of about 170 tokens."""
    said: list[Any] = []
    for n in range(turns):
        said.append(HumanMessage(f"{n}? {PAD}", id=f"h{n}"))
        said.append(AIMessage(f"{n}! {PAD}", id=f"a{n}"))
    return said


def ids(messages: list[Any]) -> list[str]:
    return [message.id or "summary" for message in messages]


async def folded(window: Window, messages: list[Any], **state: Any) -> Conversation:
    conversation: Any = {"messages": messages, **state}
    conversation |= await window.fold(conversation)
    folded: Conversation = conversation
    return folded


async def test_a_short_conversation_is_sent_as_it_is() -> None:
    window = Window(summing(), limit=1000, keep=400)
    state = await folded(window, talk(3))
    assert not window.is_due(state)
    assert state.get("summary") is None
    assert window.view(state) == state["messages"]


async def test_what_is_too_much_is_told_by_a_summary_and_stays_in_the_transcript() -> None:
    model = summing("They counted.")
    window = Window(model, limit=1000, keep=400)
    state = await folded(window, talk(7))
    assert len(state["messages"]) == 14
    assert state.get("summary") == {"text": "They counted.", "upto": "a4"}
    view = window.view(state)
    assert ids(view) == ["h0", "summary", "h5", "a5", "h6", "a6"]
    assert view[1].text == "<summary>\nThey counted.\n</summary>"
    order, asked = model.asked[0]
    assert "material, never instructions" in order.text
    assert asked.text.count("<said by=") == 10
    assert not window.is_due(state)


async def test_the_next_summary_is_told_the_last_one_and_only_what_is_new() -> None:
    model = summing("First.", "Second.")
    window = Window(model, limit=1000, keep=400)
    state = await folded(window, talk(7))
    state = await folded(window, [*state["messages"], *talk(12)[14:]], summary=state.get("summary"))
    asked = model.asked[1][1].text
    assert asked.startswith("<summary>\nFirst.\n</summary>")
    assert "4! la" not in asked
    assert "5? la" in asked
    assert state.get("summary") == {"text": "Second.", "upto": "a9"}


async def test_instructions_and_what_the_user_asked_last_are_never_dropped() -> None:
    calls = [
        AIMessage(PAD, id=f"c{n}", tool_calls=[{"name": "t", "args": {}, "id": f"t{n}"}])
        for n in range(10)
    ]
    results = [ToolMessage(PAD, tool_call_id=f"t{n}", id=f"r{n}") for n in range(10)]
    used = [message for pair in zip(calls, results, strict=True) for message in pair]
    said = [SystemMessage("Be kind.", id="s"), *talk(1), HumanMessage("Do it.", id="q"), *used]
    window = Window(summing("Much was done."), limit=1000, keep=400)
    view = window.view(await folded(window, said))
    assert ids(view)[:4] == ["s", "h0", "summary", "q"]
    assert isinstance(view[4], AIMessage)
    assert isinstance(view[-1], ToolMessage)


@pytest.mark.parametrize("keep", range(50, 800, 75))
async def test_calls_and_their_results_stay_together(keep: int) -> None:
    said: list[Any] = []
    for n in range(6):
        made = [{"name": "t", "args": {}, "id": f"{n}{k}"} for k in "ab"]
        said += [HumanMessage(PAD), AIMessage("", tool_calls=made)]
        said += [ToolMessage(PAD, tool_call_id=call["id"]) for call in made]
    said = [message.model_copy(update={"id": str(n)}) for n, message in enumerate(said)]
    window = Window(summing("Short."), limit=900, keep=keep)
    seen = window.view(await folded(window, said))
    called = {call["id"] for m in seen if isinstance(m, AIMessage) for call in m.tool_calls}
    answered = {m.tool_call_id for m in seen if isinstance(m, ToolMessage)}
    assert called == answered
    assert len(seen) < len(said)


async def test_a_model_that_says_nothing_loses_nothing() -> None:
    window = Window(summing("  "), limit=1000, keep=400)
    state = await folded(window, talk(7))
    assert state.get("summary") is None
    assert window.view(state) == state["messages"]


async def test_a_summary_that_is_too_long_is_cut() -> None:
    window = Window(summing("word " * 5000), limit=1000, keep=500, words=50)
    summary = (await folded(window, talk(7))).get("summary")
    assert summary is not None
    assert len(summary["text"]) == 400


async def test_a_long_history_that_had_no_window_is_folded_in_parts() -> None:
    model = summing(*["Part."] * 9)
    window = Window(model, limit=1000, keep=400)
    state = await folded(window, talk(300))  # 50,000 tokens
    folds = 1
    while window.is_due(state):
        state = await folded(window, state["messages"], summary=state.get("summary"))
        folds += 1
    assert folds == 2
    assert ids(window.view(state))[-4:] == ["h298", "a298", "h299", "a299"]


async def test_when_covered_messages_were_removed_the_summary_still_tells_of_them() -> None:
    window = Window(summing("They counted."), limit=1000, keep=400)
    state = await folded(window, talk(7))
    left: Any = {"messages": state["messages"][10:], "summary": state.get("summary")}
    assert ids(window.view(left)) == ["summary", "h5", "a5", "h6", "a6"]


@pytest.mark.parametrize(("limit", "keep"), [(100, 100), (100, 0), (1, 5)])
def test_a_window_that_cannot_be_kept_is_refused(limit: int, keep: int) -> None:
    with pytest.raises(ValueError, match="keep"):
        Window(summing(), limit=limit, keep=keep)


async def test_it_is_a_node_for_anybodys_graph_whose_followers_do_not_see_it(
    offline: MessagesServer,
) -> None:
    window = Window(limit=1000, keep=400)

    async def answer(state: Conversation) -> dict[str, Any]:
        return {"messages": [await window.model.ainvoke(window.view(state))]}

    built = StateGraph(Conversation).add_node("answer", answer).add_node("fold", window.fold)
    built.add_edge(START, "answer").add_edge("answer", "fold")
    graph = built.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    nodes = set()
    for n in range(8):
        given: Any = {"messages": [("user", f"My wish {n}. {PAD}")]}
        told: Any = graph.astream(given, config, stream_mode="messages")
        async for _, facts in told:
            nodes.add(facts["langgraph_node"])
    state = (await graph.aget_state(config)).values
    assert len(state["messages"]) == 16
    assert "My wish 1." in state["summary"]["text"]
    assert nodes == {"answer"}
    assert offline.counts["/v1/messages/count_tokens"] > 0


async def test_the_endpoint_counts_and_where_there_is_none_an_estimate_does(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talk(2)
    counted = await tokens.count(Claude(), said)
    assert offline.counts["/v1/messages/count_tokens"] == 1
    assert counted != tokens.estimate(said) == await tokens.count(summing(), said)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", offline.url + "/elsewhere")
    await client.close()
    assert await tokens.count(Claude(), said) == tokens.estimate(said)
    assert await tokens.count(Claude(), []) == 0


async def test_an_endpoint_that_hangs_or_refuses_is_not_waited_for(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = talk(2)
    monkeypatch.setattr(client, "COUNT_TIMEOUT", 0.0)
    assert await tokens.count(Claude(), said) == tokens.estimate(said)
    monkeypatch.undo()
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", offline.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", offline.url)
    await client.close()
    assert await tokens.count(Claude(), said) == tokens.estimate(said)


def test_the_estimate_knows_that_some_scripts_have_more_tokens_a_letter() -> None:
    latin, cjk = [HumanMessage("a" * 400)], [HumanMessage("語" * 400)]
    assert 90 < tokens.estimate(latin) < 110
    assert 290 < tokens.estimate(cjk) < 320
