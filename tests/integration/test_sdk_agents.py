"""Each agent end to end through the unmodified SDK, in `baton dev` with every part real.

With ANTHROPIC_API_KEY set they are tried once more with the real model.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from graph.agents.documents import index_folder
from infra.local.environment import names_a_model
from infra.local.stack import Options, Stack

PROJECT = Path(__file__).parents[2] / "langgraph.json"
MODEL = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "BATON_MODEL")
DOCUMENTS = {
    "lens.md": "# Lens\nA Fresnel lens bends the light of a lamp into one level beam.",
    "chart.md": "# Chart\nSeen from the sea the tower is 40 metres high. It is of stone.",
    "guide.md": "# Guide\nSeen from the sea the tower is 45 metres high. Visitors are welcome.",
}
real = pytest.mark.skipif(  # it costs money
    not names_a_model(os.environ), reason="NOT RUN with the real model: ANTHROPIC_API_KEY is unset"
)


@pytest.fixture(params=["offline", pytest.param("real", marks=real)])
async def client(
    request: pytest.FixtureRequest,
    database_url: str,
    direct_url: str,
    tmp_path: Path,
) -> AsyncIterator[Any]:
    """A client of a stack whose agents have some documents."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text)
    environ = {**os.environ, "DATABASE_URL": database_url, "MIGRATION_DATABASE_URL": direct_url}
    if request.param == "offline":
        environ = {name: value for name, value in environ.items() if name not in MODEL}
    options = Options(
        config=PROJECT, port=0, data=tmp_path / "data", queue="memory", environ=environ
    )
    async with Stack(options, say=lambda who, line: print(who, line)) as stack:
        await index_folder(direct_url, folder)
        async with get_client(url=stack.url) as made:
            yield made


async def waited(client: Any, thread: str, agent: str, **asked: Any) -> Any:
    values = await client.runs.wait(thread, agent, **asked)
    assert "__error__" not in values, values
    return values


async def new_thread(client: Any) -> str:
    made: str = (await client.threads.create())["thread_id"]
    return made


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def chat_calls_tools_streams_and_remembers_on_another_thread(client: Any) -> None:
    thread = await new_thread(client)
    events = [
        part.event
        async for part in client.runs.stream(
            thread, "chat", input=say("What is 17 * (23 + 4)?"), stream_mode=["messages", "values"]
        )
    ]
    assert "messages/partial" in events
    values = await client.threads.get_state(thread)
    assert "459" in values["values"]["messages"][-1]["content"]
    usage = (await client.threads.get(thread))["usage"]
    assert usage["tool_calls"] == 1
    assert usage["model_calls"] >= 3
    await waited(client, thread, "chat", input=say("Remember that I drink tea, not coffee."))
    items = (await client.store.search_items(["memories"]))["items"]
    assert "tea" in items[0]["value"]["text"]
    later = await new_thread(client)
    values = await waited(client, later, "chat", input=say("Recall what I drink: tea or coffee?"))
    assert "tea" in values["messages"][-1]["content"]


async def research_reports_with_its_sources(client: Any) -> None:
    thread = await new_thread(client)
    asked = {"question": "How does a Fresnel lens bend the light of a lamp?"}
    modes = ["messages-tuple", "values"]
    stream = client.runs.stream(thread, "research", input=asked, stream_mode=modes)
    parts = [part async for part in stream]
    said = [p.data[0]["content"] for p in parts if p.event == "messages"]
    values = (await client.threads.get_state(thread))["values"]
    assert "beam" in values["report"]
    assert "lens.md" in values["report"]
    assert "".join(said) in values["report"]  # its text as it was written, and no decision
    assert said


async def research_asks_a_person_when_its_sources_conflict(client: Any) -> None:
    thread = await new_thread(client)
    asked = {"question": "How many metres high is the tower seen from the sea?"}
    values = await waited(client, thread, "research", input=asked)
    (question,) = values["__interrupt__"]
    (right,) = (n["note"] for n in question["value"]["notes"] if n["path"] == "guide.md")
    values = await waited(client, thread, "research", command={"resume": {"trust": [right]}})
    assert "45" in values["report"]
    assert "chart.md" not in values["report"]


async def the_supervisors_team_answers(client: Any) -> None:
    thread = await new_thread(client)
    question = "How does a Fresnel lens bend the light of a lamp?"
    values = await waited(client, thread, "supervisor", input=say(question))
    assert values["findings"][-1]["by"] == "writer"
    assert "beam" in values["messages"][-1]["content"]
    history = await client.threads.get_history(thread, limit=50)
    assert len(history) > 6


async def triage_waits_for_a_person_and_sends_the_edited_answer(client: Any) -> None:
    thread = await new_thread(client)
    ticket = {"ticket": "We were hacked and data was stolen.", "sender": "bob@example.com"}
    values = await waited(client, thread, "triage", input=ticket)
    (question,) = values["__interrupt__"]
    assert question["value"]["priority"] == "critical"
    answer = {"decision": "edit", "draft": "Call us now."}
    values = await waited(client, thread, "triage", command={"resume": answer})
    assert (values["outcome"], values["draft"]) == ("sent", "Call us now.")


async def a_ceiling_is_put_to_a_person_who_raises_it(client: Any) -> None:
    thread = await new_thread(client)
    config = {"configurable": {"budget": {"model_calls": 1}}}
    asked = say("What is 17 * (23 + 4)?")
    values = await waited(client, thread, "chat", input=asked, config=config)
    (question,) = values["__interrupt__"]
    assert question["value"]["ceiling"] == {"model_calls": 1}
    assert question["value"]["answer_with"] == {"raise_budget": {"model_calls": 2}}
    resume = {"raise_budget": {"model_calls": 9}}
    values = await waited(client, thread, "chat", command={"resume": resume})
    assert "459" in values["messages"][-1]["content"]
    (resumed, stopped) = await client.runs.list(thread)
    assert stopped["usage"]["model_calls"] == 1
    assert resumed["usage"]["model_calls"] >= 2


async def test_every_agent_does_its_work_through_the_sdk(client: Any) -> None:
    await asyncio.gather(
        chat_calls_tools_streams_and_remembers_on_another_thread(client),
        research_reports_with_its_sources(client),
        research_asks_a_person_when_its_sources_conflict(client),
        the_supervisors_team_answers(client),
        triage_waits_for_a_person_and_sends_the_edited_answer(client),
        a_ceiling_is_put_to_a_person_who_raises_it(client),
    )
