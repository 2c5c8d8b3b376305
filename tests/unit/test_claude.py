"""Calling Claude: one validated answer, streamed text, busy APIs and lazy loading."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from pydantic import BaseModel, Field

from graph import PermanentFailure, RetryLater
from graph.llm import claude, client
from graph.signals import CallFailed
from infra.local import message_format
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted

SYSTEM = "Answer."

Caller = Callable[[], Awaitable[object]]


class Colour(BaseModel):
    """Name a colour."""

    name: str = Field(max_length=10)


def ignore(_: str) -> None:
    pass


async def ask() -> object:
    return await claude.ask("Hello", Colour, system=SYSTEM)


async def write() -> object:
    return await claude.write("Hello", system=SYSTEM, on_text=ignore)


def test_importing_the_agent_or_the_model_layer_does_not_load_the_sdk() -> None:
    code = (
        "import sys, graph.agents.research, graph.agents.chat, graph.agents.triage; "
        "print([name for name in sys.modules if name.startswith('anthropic')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


async def test_an_answer_is_validated_and_names_its_model(offline: MessagesServer) -> None:
    reply = await claude.ask("<question>Red?</question>", Colour, system=SYSTEM)
    assert reply == claude.Reply(Colour(name="Red?"), "offline-extractive")
    sent = offline.received[-1]
    assert sent["model"] == "claude-haiku-5-5"
    assert sent["tools"][0]["name"] == "Colour"
    assert sent["tools"][0]["description"] == "Name a colour."
    assert not {"temperature", "top_p", "thinking"} & sent.keys()


async def test_the_environment_chooses_the_model(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL", "claude-sonnet-5-5")
    await claude.write("Hello", system=SYSTEM, on_text=ignore)
    assert offline.received[-1]["model"] == "claude-sonnet-5-5"


async def test_a_wrong_answer_is_sent_back_once_with_what_is_wrong(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"name": "a colour far too long"}, {"name": "teal"}]
    reply = await claude.ask("Which?", Colour, system=SYSTEM)
    assert reply.value.name == "teal"
    _, assistant, correction = offline.received[-1]["messages"]
    assert assistant["content"][0]["input"] == {"name": "a colour far too long"}
    result, order = correction["content"]
    assert result["tool_use_id"] == assistant["content"][0]["id"]
    assert result["is_error"] is True
    assert "at most 10 characters" in result["content"]
    assert "Colour" in order["text"]


async def test_text_instead_of_a_tool_call_is_asked_for_again(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += ["Teal, I think.", {"name": "teal"}]
    assert (await claude.ask("Which?", Colour, system=SYSTEM)).value.name == "teal"
    assert "was not called" in offline.received[-1]["messages"][-1]["content"][0]["text"]


async def test_an_empty_answer_is_asked_for_again(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"content": []}, {"name": "teal"}]
    assert (await claude.ask("Which?", Colour, system=SYSTEM)).value.name == "teal"
    assert [turn["role"] for turn in offline.received[-1]["messages"]] == ["user", "user"]


async def test_two_wrong_answers_end_in_a_clear_error(
    offline: MessagesServer, scripted: list[Any]
) -> None:
    scripted += [{"name": 1}, {"colour": "teal"}]
    with pytest.raises(PermanentFailure, match=r"asked twice for Colour.*(?s:.*)Field required"):
        await claude.ask("Which?", Colour, system=SYSTEM)
    assert offline.counts["/v1/messages"] == 2


@pytest.mark.parametrize("call", [ask, write])
async def test_a_refusal_ends_the_run(scripted: list[Any], call: Caller) -> None:
    scripted += [{"stop_reason": "refusal"}]
    with pytest.raises(PermanentFailure, match="declined"):
        await call()


async def test_text_arrives_in_pieces(offline: MessagesServer) -> None:
    pieces: list[str] = []
    prompt = "<question>sea light</question><note n='1'>" + "The light shone over the sea. " * 9
    written = await claude.write(prompt + "</note>", system=SYSTEM, on_text=pieces.append)
    assert "".join(pieces) == written.text
    assert len(pieces) > 1
    assert written.model == "offline-extractive"


async def test_a_text_that_was_cut_off_says_so(scripted: list[Any]) -> None:
    scripted += [{"content": [{"type": "text", "text": "Half"}], "stop_reason": "max_tokens"}]
    written = await claude.write("Hello", system=SYSTEM, on_text=ignore)
    assert written.text == "Half\n\n(Cut off: the answer reached 16000 tokens.)"


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize("call", [ask, write])
async def test_a_busy_api_becomes_retry_later(
    offline: MessagesServer, status: int, call: Caller
) -> None:
    offline.fail_next(status, retry_after=7)
    with pytest.raises(RetryLater) as caught:
        await call()
    assert 7 <= caught.value.seconds <= 9
    assert offline.counts["/v1/messages"] == 1


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(None, 2, 4), (-3.0, 0, 1), (float("inf"), 3600, 4500), (float("nan"), 2, 4)],
)
async def test_the_wait_is_bounded_whatever_the_api_says(
    offline: MessagesServer, retry_after: float | None, least: float, most: float
) -> None:
    offline.fail_next(429, retry_after=retry_after)
    with pytest.raises(RetryLater) as caught:
        await ask()
    assert least <= caught.value.seconds <= most


async def test_an_overload_in_the_middle_of_a_stream_becomes_retry_later(
    offline: MessagesServer,
) -> None:
    offline.fail_next(529, mid_stream=True)
    pieces: list[str] = []
    with pytest.raises(RetryLater, match="overloaded_error"):
        await claude.write("Hello " * 50, system=SYSTEM, on_text=pieces.append)
    assert pieces


async def test_what_is_wrong_with_the_request_passes_through(offline: MessagesServer) -> None:
    offline.fail_next(400)
    with pytest.raises(anthropic.BadRequestError):
        await ask()
    assert offline.counts["/v1/messages"] == 1


@pytest.mark.parametrize("status", [408, 500, 502])
async def test_what_is_wrong_with_the_server_is_tried_again_later(
    offline: MessagesServer, status: int
) -> None:
    offline.fail_next(status)
    with pytest.raises(CallFailed):
        await ask()
    assert offline.counts["/v1/messages"] == 1


async def test_a_server_that_is_not_there_is_tried_again_later(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    with pytest.raises(CallFailed, match="was not reached"):
        await ask()


async def test_a_call_is_bounded(scripted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.0)
    with pytest.raises(CallFailed, match="claude-haiku-5-5 took longer than 0 s"):
        await claude.write("Hello", system=SYSTEM, on_text=ignore)


async def test_a_nodes_own_timeout_is_not_mistaken_for_the_calls(offline: MessagesServer) -> None:
    def give_up(_: str) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await claude.write("Hello", system=SYSTEM, on_text=give_up)


async def test_missing_credentials_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(PermanentFailure, match="ANTHROPIC_API_KEY"):
        await claude.ask("Hello", Colour, system=SYSTEM)


def test_each_event_loop_has_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice() -> list[str]:
        async with MessagesServer() as server:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
            monkeypatch.setenv("ANTHROPIC_API_KEY", "offline")
            replies = [await claude.ask("Hello", Colour, system=SYSTEM) for _ in range(2)]
            await client.close()
            return [reply.value.name for reply in replies]

    assert [asyncio.run(twice()) for _ in range(2)] == [["Hello Answ"] * 2] * 2


def test_the_sdk_reads_the_messages_as_its_own_type() -> None:
    call = message_format.Call(
        model="m", max_tokens=9, messages=[message_format.Turn(role="user", content="Hi")]
    )
    message = Message.model_validate(message_format.answer(call))
    assert message.usage.input_tokens > 0
