"""The research agent, whole, against the offline model over a real socket."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from graph import PermanentFailure, RetryLater
from graph.agents import research, sources
from graph.agents.documents import Passage
from graph.agents.sources import Conflict, Weight
from graph.runtime.models import RunStatus
from infra.local.messages import MessagesServer
from tests.fixtures.driver import Driver
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

QUESTION = "How did Fresnel lenses and oil lamps help keepers and sailors in fog?"


class Library:
    """A search that answers from a dictionary of texts and remembers the queries."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.queries: list[str] = []

    async def find(self, query: str, limit: int) -> list[Passage]:
        self.queries.append(query)
        words = query.lower().split()
        hits = [
            Passage(f"{name}.md", name.title(), text, 1.0)
            for name, text in self.texts.items()
            if any(word in text.lower() for word in words)
        ]
        return hits[:limit]


LIBRARY = {
    "lens": "Fresnel lenses bend the light of a lamp into one level beam for sailors far away.",
    "oil": "The oil lamp burned colza or whale oil through the night on every coast.",
    "keepers": "The keepers wound the clockwork that turned the lenses every few hours.",
    "fog": "In fog the station sounded a horn that sailors heard for several miles.",
}

TOWERS = {
    "chart": "Seen from the sea the tower is 40 metres high. It was built by Stevenson of stone.",
    "guide": "Seen from the sea the tower is 45 metres high. Its keeper shows visitors the lamp.",
}


async def run(library: Library, *, question: str = QUESTION, rounds: int | None = None) -> Any:
    graph = research.build(find=library.find).compile()
    context = None if rounds is None else research.Context(max_rounds=rounds)
    return await graph.ainvoke({"question": question}, context=context)


async def test_the_report_is_built_from_the_documents_and_cites_them(
    offline: MessagesServer,
) -> None:
    state = await run(Library(**LIBRARY))
    assert "Fresnel lenses bend the light of a lamp into one level beam" in state["report"]
    assert "In fog the station sounded a horn" in state["report"]
    cited = [n for n, note in enumerate(state["notes"], 1) if note["path"] == "fog.md"]
    assert f"- [{cited[0]}] fog.md: Fog" in state["report"]


async def test_the_report_says_that_no_language_model_wrote_it(offline: MessagesServer) -> None:
    state = await run(Library(**LIBRARY))
    assert state["model"] == "offline-extractive"
    first = state["report"].splitlines()[0]
    assert "offline-extractive" in first
    assert "No language model took part" in first


async def test_a_report_by_claude_names_it_instead(scripted: list[Any]) -> None:
    by_claude = {"model": "claude-haiku-5-5"}
    scripted += [by_claude, by_claude, by_claude]
    state = await run(Library(**LIBRARY), question="Fresnel lenses or fog?")
    assert state["model"] == "claude-haiku-5-5"
    assert "*Written by claude-haiku-5-5.*" in state["report"]
    assert "offline" not in state["report"].lower()


async def test_it_searches_again_for_what_is_missing(offline: MessagesServer) -> None:
    library = Library(**LIBRARY)
    state = await run(library)
    assert state["rounds"] == 2
    assert state["searched"] == library.queries
    assert "fog" in " ".join(library.queries)
    assert len({note["text"] for note in state["notes"]}) == len(state["notes"])


@pytest.mark.parametrize(("rounds", "expected"), [(1, 1), (2, 2), (None, 3)])
async def test_the_rounds_are_bounded(
    offline: MessagesServer, rounds: int | None, expected: int
) -> None:
    endless = "Do anchors bells candles dues engines flags gulls hulls islands jetties kelp matter?"
    state = await run(Library(), question=endless, rounds=rounds)
    assert state["rounds"] == expected
    # A plan and a decision after each round but the last, where nothing was found to be weighed.
    assert offline.counts["/v1/messages"] == expected


async def test_a_query_is_never_searched_twice(scripted: list[Any]) -> None:
    scripted += [
        {"queries": ["oil", "fog"]},
        {"weights": [], "enough": False, "queries": ["fog", "lens"]},
        {"weights": [], "enough": False, "queries": ["oil"]},
        "Oil burned [2]; nobody knows the rest [9].",
    ]
    library = Library(**LIBRARY)
    state = await run(library)
    assert library.queries == ["oil", "fog", "lens"]
    assert state["report"].endswith("## Sources\n\n- [2] fog.md: Fog")


async def test_enough_ends_the_search_whatever_else_is_proposed(scripted: list[Any]) -> None:
    scripted += [
        {"queries": ["oil"]},
        {"weights": [], "enough": True, "queries": ["fog"]},
        "Oil burned.",
    ]
    library = Library(**LIBRARY)
    state = await run(library)
    assert library.queries == ["oil"]
    assert "Sources" not in state["report"]


def weighing(*weights: str, **more: Any) -> dict[str, Any]:
    judged = [{"note": n, "weight": weight} for n, weight in enumerate(weights, 1)]
    return {"weights": judged, "enough": True, **more}


async def test_what_weighs_nothing_is_not_written_from(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"queries": ["lamp night"]}, weighing("none", "strong"), "It burned [2]."]
    state = await run(Library(**LIBRARY))
    assert state["weights"] == {"1": "none", "2": "strong"}
    told = str(offline.received[-1]["messages"])
    assert "Fresnel lenses bend" not in told
    assert 'weight="strong"' in told
    assert state["report"].endswith("- [2] oil.md: Oil")


async def test_when_every_note_weighs_nothing_no_report_is_made_up(scripted: list[Any]) -> None:
    scripted += [{"queries": ["lamp night"]}, weighing("none", "none")]
    state = await run(Library(**LIBRARY))
    assert "Nothing in the indexed documents matches" in state["report"]


async def test_weights_and_conflicts_of_notes_that_are_not_there_are_ignored(
    scripted: list[Any],
) -> None:
    odd = [{"about": "all", "notes": notes} for notes in ([1, 9], [0, 1], [2, 2])]
    found = weighing("weak", "weak", "strong", "strong", conflicts=odd)
    scripted += [{"queries": ["lamp night"]}, found, "It burned."]
    state = await run(Library(**LIBRARY))
    assert state["weights"] == {"1": "weak", "2": "weak"}
    assert state["conflicts"] == []


async def test_the_last_round_is_weighed_too(scripted: list[Any]) -> None:
    more = weighing("none", "strong", enough=False, queries=["fog"])
    scripted += [{"queries": ["lamp night"]}, more, "It burned [2]."]
    state = await run(Library(**LIBRARY), rounds=1)
    assert (state["rounds"], state["weights"]["1"]) == (1, "none")


def asking() -> Driver:
    return Driver(research.build(find=Library(**TOWERS).find).compile(), deliveries=2)


async def test_a_person_says_which_of_two_sources_is_right(offline: MessagesServer) -> None:
    driven = asking()
    run = await driven.run({"question": "How high is the tower?"})
    assert run.status is RunStatus.INTERRUPTED
    ((asked,),) = (await driven.thread()).interrupts.values()
    assert "sea the tower is ? metres" in asked["value"]["question"]
    assert [note["path"] for note in asked["value"]["notes"]] == ["chart.md", "guide.md"]
    assert (await driven.run(command={"resume": {"trust": [1]}})).status is RunStatus.SUCCESS
    report = (await driven.values())["report"]
    assert "40 metres" in report
    assert "45 metres" not in report


@pytest.mark.parametrize(
    ("answer", "told"),
    [({"trust": [2]}, ["45"]), ([2], ["45"]), (2, ["45"]), ({"trust": []}, ["40", "45"])],
)
async def test_the_answer_may_be_short_and_an_empty_one_reports_the_conflict(
    offline: MessagesServer, answer: Any, told: list[str]
) -> None:
    driven = asking()
    await driven.run({"question": "How high is the tower?"})
    assert (await driven.run(command={"resume": answer})).status is RunStatus.SUCCESS
    report = (await driven.values())["report"]
    assert [n for n in ("40", "45") if f"{n} metres" in report] == told


@pytest.mark.parametrize(
    "answer", ["yes", {"trust": [3]}, {"trust": "1"}, {"trust": [True]}, {"a": 1}]
)
async def test_an_answer_without_a_sense_is_asked_for_again(
    offline: MessagesServer, answer: Any
) -> None:
    driven = asking()
    await driven.run({"question": "How high is the tower?"})
    assert (await driven.run(command={"resume": answer})).status is RunStatus.INTERRUPTED
    ((asked,),) = (await driven.thread()).interrupts.values()
    assert asked["value"]["problem"] == "trust must be a list of some of [1, 2]"
    assert (await driven.run(command={"resume": [1]})).status is RunStatus.SUCCESS


async def test_what_a_person_rejected_stays_rejected_and_is_not_asked_again() -> None:
    assert sources.weighed({"1": "rejected"}, [Weight(note=1, weight="strong")], 2) == {
        "1": "rejected"
    }
    conflict = Conflict(about="height", notes=[1, 2])
    assert sources.unsettled([conflict], [[2, 1]], 2) == []
    assert sources.unsettled([conflict], [[1, 3]], 2) == [conflict.model_dump()]


async def test_nothing_found_is_said_plainly(offline: MessagesServer) -> None:
    state = await run(Library())
    assert state["notes"] == []
    assert "Nothing in the indexed documents matches" in state["report"]
    assert state["searched"][0] in state["report"]
    assert "offline-extractive" in state["report"]


@pytest.mark.parametrize("question", ["", "  ", 7])
async def test_a_run_without_a_question_fails_clearly(question: Any) -> None:
    with pytest.raises(PermanentFailure, match="question"):
        await run(Library(), question=question)


async def test_a_busy_model_asks_for_the_node_to_run_again_later(offline: MessagesServer) -> None:
    offline.fail_next(429, retry_after=30)
    with pytest.raises(RetryLater):
        await run(Library(**LIBRARY))


async def test_the_text_of_the_report_is_streamed(offline: MessagesServer) -> None:
    graph = research.build(find=Library(**LIBRARY).find).compile()
    stream: Any = graph.astream({"question": QUESTION}, stream_mode="messages")
    pieces = [message.text async for message, meta in stream if meta["langgraph_node"] == "write"]
    assert len(pieces) > 3
    assert "Fresnel lenses bend the light" in "".join(pieces)


async def test_it_goes_on_from_plain_json_after_every_step(offline: MessagesServer) -> None:
    strict = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    steps = research.build(find=Library(**LIBRARY).find).compile(
        checkpointer=strict, interrupt_after="*"
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    await steps.ainvoke({"question": QUESTION}, config)
    taken = 1
    while (await steps.aget_state(config)).next:
        json.dumps((await steps.aget_state(config)).values)
        await steps.ainvoke(None, config)
        taken += 1
    assert taken == 6  # plan, search, decide, search, decide, write
    assert "Fresnel" in (await steps.aget_state(config)).values["report"]


async def test_a_second_question_on_a_thread_starts_over(offline: MessagesServer) -> None:
    graph = research.build(find=Library(**LIBRARY).find).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"question": "What are Fresnel lenses?"}, config)
    state = await graph.ainvoke({"question": "What is heard in fog?"}, config)
    assert [note["path"] for note in state["notes"]] == ["fog.md"]
    assert state["rounds"] == 1
    assert "Fresnel lenses?" not in json.dumps(offline.received[3]["messages"])


def test_the_project_file_leads_to_the_graph() -> None:
    root = Path(__file__).parents[2]
    project = json.loads((root / "langgraph.json").read_text())
    path, name = project["graphs"]["research"].split(":")
    loaded = runpy.run_path(str(root / path))[name]
    assert {"plan", "search", "decide", "write"} < loaded.compile().nodes.keys()
