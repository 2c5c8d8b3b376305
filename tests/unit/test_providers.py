"""The ways to Claude, each by the SDK's own client against a local server."""

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graph.errors import PermanentFailure
from graph.llm import client, tokens
from graph.llm.chat import Claude
from graph.llm.providers import cached, keys
from graph.prices import Tokens, price
from graph.signals import CallFailed
from infra.local import message_format
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline

BEDROCK_MODEL = "us.anthropic.claude-haiku-5-5-v1:0"


async def write() -> AIMessage:
    return await Claude().ainvoke("Hello")


def event_stream(message: dict[str, Any]) -> Iterator[bytes]:
    """A message in AWS's event stream encoding, as Bedrock sends it."""
    for event in message_format.events(message):
        data = event.partition("data: ")[2].strip()
        payload = json.dumps({"bytes": b64encode(data.encode()).decode()}).encode()
        named = {":event-type": "chunk", ":message-type": "event"}
        headers = b"".join(
            bytes([len(k)]) + k.encode() + b"\x07" + struct.pack(">H", len(v)) + v.encode()
            for k, v in named.items()
        )
        sizes = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
        body = sizes + struct.pack(">I", zlib.crc32(sizes)) + headers + payload
        yield body + struct.pack(">I", zlib.crc32(body))


class Bedrock(MessagesServer):
    """Bedrock's InvokeModelWithResponseStream over the offline model."""

    def _app(self) -> Starlette:
        path = "/model/{model}/invoke-with-response-stream"
        return Starlette(routes=[Route(path, self._invoke, methods=["POST"])])

    async def _invoke(self, request: Request) -> Response:
        body = await request.json()
        asked = {"model": request.path_params["model"], "signed": request.headers["authorization"]}
        self.received.append(body | asked)
        if fault := self.next_fault(request):
            return fault.response()
        call = message_format.Call.model_validate(body | asked)
        message = self.answer(call) | {"model": "claude-haiku-5-5"}
        kind = "application/vnd.amazon.eventstream"
        return Response(b"".join(event_stream(message)), media_type=kind)


@pytest.fixture
async def bedrock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bedrock]:
    async with Bedrock() as server:
        for name, value in {
            "BATON_MODEL_PROVIDER": "bedrock",
            "BATON_MODEL": BEDROCK_MODEL,
            "ANTHROPIC_BEDROCK_BASE_URL": server.url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
        yield server
        await client.close()


async def test_bedrock_is_asked_in_its_own_form(bedrock: Bedrock) -> None:
    written = await write()
    assert written.response_metadata["model_name"] == "claude-haiku-5-5"
    assert written.text
    (sent,) = bedrock.received
    assert sent["model"] == BEDROCK_MODEL
    assert sent["anthropic_version"]
    assert "stream" not in sent
    assert sent["signed"].startswith("AWS4-HMAC-SHA256 Credential=local/")
    assert "/eu-central-1/bedrock/" in sent["signed"]
    assert "cache_control" not in sent  # which Bedrock does not know there
    assert sent["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}


async def test_bedrock_that_throttles_is_asked_later(bedrock: Bedrock) -> None:
    bedrock.fail_next(429, retry_after=3)
    with pytest.raises(CallFailed) as caught:
        await write()
    assert caught.value.seconds >= 3


async def test_bedrock_counts_no_tokens_and_is_not_asked_to(bedrock: Bedrock) -> None:
    said = [HumanMessage("Hello")]
    assert await tokens.count(Claude(), said) == tokens.estimate(said)
    assert not bedrock.received


async def test_claude_platform_on_aws_is_asked_under_its_workspace(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATON_MODEL_PROVIDER", "aws")
    monkeypatch.setenv("ANTHROPIC_AWS_BASE_URL", offline.url)
    monkeypatch.setenv("ANTHROPIC_AWS_WORKSPACE_ID", "wrkspc_1")
    monkeypatch.setenv("ANTHROPIC_AWS_API_KEY", "local")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert (await write()).text
    assert offline.received[-1]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("key", ["local", None])
async def test_claude_platform_on_aws_is_asked_by_key_or_by_the_functions_role(
    offline: MessagesServer, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    seen: list[dict[str, str]] = []

    def look(request: Request) -> None:
        seen.append(dict(request.headers))

    monkeypatch.setattr(offline, "next_fault", look)
    for name, value in {
        "BATON_MODEL_PROVIDER": "aws",
        "ANTHROPIC_AWS_BASE_URL": offline.url,
        "ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_1",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "role",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANTHROPIC_AWS_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("ANTHROPIC_AWS_API_KEY", key)
    assert (await write()).text
    (headers,) = seen
    assert headers["anthropic-workspace-id"] == "wrkspc_1"
    signed = "/eu-central-1/aws-external-anthropic/aws4_request"
    assert (headers["authorization"] == "Bearer local") is (key is not None)
    assert (signed in headers["authorization"]) is (key is None)


async def test_any_base_url_is_asked_with_any_key(offline: MessagesServer) -> None:
    assert (await write()).text
    assert offline.received[-1]["cache_control"] == {"type": "ephemeral"}


async def test_what_aws_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_MODEL_PROVIDER", "aws")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "ANTHROPIC_AWS_WORKSPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PermanentFailure, match="no way to Claude by aws"):
        await write()


def test_the_keys_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEYS", raising=False)
    assert keys() == [""]
    monkeypatch.setenv("ANTHROPIC_API_KEYS", "one, two  three,")
    assert keys() == ["one", "two", "three"]
    monkeypatch.setenv("BATON_MODEL_PROVIDER", "bedrock")
    assert keys() == [""]


def test_a_model_on_bedrock_has_its_price() -> None:
    tokens = Tokens(input=1000)
    assert price(BEDROCK_MODEL, tokens) == price("claude-haiku-5-5", tokens) == Decimal("0.0001")


def test_the_cache_mark_changes_nobodys_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_MODEL_PROVIDER", "bedrock")
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert cached({"messages": messages})["messages"] != messages
    assert messages == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
