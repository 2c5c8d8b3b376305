"""Calls to Claude: streamed, bounded, and made again later by another invocation."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from langchain_core.messages import AIMessage

from graph import PermanentFailure, RetryLater
from graph.llm import client
from graph.llm.chat import Claude
from graph.signals import CallFailed
from infra.local import message_format
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline
from tests.fixtures.offline import scripted as scripted


async def call() -> AIMessage:
    return await Claude().ainvoke("Hello " * 50)


def test_importing_the_agent_or_the_model_layer_does_not_load_the_sdk() -> None:
    code = (
        "import sys, graph.agents.research, graph.agents.chat, graph.agents.triage; "
        "print([name for name in sys.modules if name.startswith('anthropic')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_the_sdk_is_loaded_beside_the_event_loop() -> None:
    code = """
import asyncio, sys, threading
from graph.llm.client import count_tokens

threads = set()

class Looking:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("anthropic"):
            here = threading.current_thread()
            threads.add("main" if here is threading.main_thread() else "its own")

sys.meta_path.insert(0, Looking())
asyncio.run(count_tokens(messages=[{"role": "user", "content": "Hello"}]))
print(threads)
"""
    env = {**os.environ, "ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "ANTHROPIC_API_KEY": "none"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "{'its own'}", done.stderr


async def test_the_environment_chooses_the_model(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL", "claude-sonnet-5-5")
    await call()
    assert offline.received[-1]["model"] == "claude-sonnet-5-5"


async def test_a_refusal_ends_the_run(scripted: list[Any]) -> None:
    scripted += [{"stop_reason": "refusal"}]
    with pytest.raises(PermanentFailure, match="declined"):
        await call()


async def test_text_arrives_in_pieces(scripted: list[Any]) -> None:
    text = "The light shone over the sea. " * 9
    scripted += [text]
    pieces = [piece.text async for piece in Claude().astream("Hello")]
    assert "".join(pieces) == text
    assert len([piece for piece in pieces if piece]) > 1


@pytest.mark.parametrize("status", [429, 529])
async def test_a_busy_api_becomes_retry_later(offline: MessagesServer, status: int) -> None:
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
        await call()
    assert least <= caught.value.seconds <= most


async def test_an_overload_in_the_middle_of_a_stream_becomes_retry_later(
    offline: MessagesServer,
) -> None:
    offline.fail_next(529, mid_stream=True)
    stream = Claude().astream("Hello " * 50)
    assert (await anext(stream)).text
    with pytest.raises(RetryLater, match="overloaded_error"):
        _ = [piece async for piece in stream]


async def test_what_is_wrong_with_the_request_passes_through(offline: MessagesServer) -> None:
    offline.fail_next(400)
    with pytest.raises(anthropic.BadRequestError):
        await call()
    assert offline.counts["/v1/messages"] == 1


@pytest.mark.parametrize("status", [408, 500, 502])
async def test_what_is_wrong_with_the_server_is_tried_again_later(
    offline: MessagesServer, status: int
) -> None:
    offline.fail_next(status)
    with pytest.raises(CallFailed):
        await call()
    assert offline.counts["/v1/messages"] == 1


async def test_a_server_that_is_not_there_is_tried_again_later(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    with pytest.raises(CallFailed, match="was not reached"):
        await call()


async def test_a_call_is_bounded(scripted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.0)
    with pytest.raises(CallFailed, match="claude-haiku-5-5 took longer than 0 s"):
        await call()


async def test_a_nodes_own_timeout_is_not_mistaken_for_the_calls(offline: MessagesServer) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with client.streaming(messages=[{"role": "user", "content": "Hello"}]):
            raise TimeoutError("mine")


async def test_missing_credentials_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(PermanentFailure, match="ANTHROPIC_API_KEY"):
        await call()


def test_each_event_loop_has_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice() -> list[str]:
        async with MessagesServer() as server:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
            monkeypatch.setenv("ANTHROPIC_API_KEY", "offline")
            replies = [await call() for _ in range(2)]
            await client.close()
            return [str(reply.response_metadata["model_name"]) for reply in replies]

    assert [asyncio.run(twice()) for _ in range(2)] == [["offline-extractive"] * 2] * 2


def test_the_sdk_reads_the_messages_as_its_own_type() -> None:
    call = message_format.Call(
        model="m", max_tokens=9, messages=[message_format.Turn(role="user", content="Hi")]
    )
    message = Message.model_validate(message_format.answer(call))
    assert message.usage.input_tokens > 0
