"""The offline model server, spoken to by the real SDK and over plain HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic

from infra.local import extractive
from infra.local.messages import MessagesServer

MODEL = "claude-haiku-5-5"
HI: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hi"}],
}
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as running:
        yield running


@pytest.fixture
async def client(server: MessagesServer) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key="offline", base_url=server.url, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def http(server: MessagesServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=server.url, headers={"x-api-key": "k"}, trust_env=False
    ) as plain:
        yield plain


async def test_it_binds_loopback_only_and_frees_its_port(server: MessagesServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    async with MessagesServer() as second:
        port = int(second.url.rsplit(":", 1)[1])
    async with MessagesServer(port=port) as third:
        assert third.url.endswith(f":{port}")


async def test_a_forced_tool_is_called_and_streamed_like_it_is_answered(
    client: AsyncAnthropic,
) -> None:
    forced: Any = {
        "max_tokens": 50,
        "model": MODEL,
        "messages": [{"role": "user", "content": "Oslo?"}],
        "tools": [WEATHER],
        "tool_choice": {"type": "tool", "name": "weather"},
    }
    answered = await client.messages.create(**forced)
    async with client.messages.stream(**forced) as stream:
        streamed = await stream.get_final_message()
    for message in (answered, streamed):
        block = message.content[0].model_dump(include={"type", "name", "input"})
        assert block == {"type": "tool_use", "name": "weather", "input": {"city": "Oslo?"}}
        assert (message.stop_reason, message.model) == ("tool_use", "offline-extractive")
    assert answered.usage.input_tokens == streamed.usage.input_tokens
    assert answered.usage.output_tokens == streamed.usage.output_tokens


async def test_a_tool_result_leads_to_a_text_copied_from_it(client: AsyncAnthropic) -> None:
    ask: Any = [{"role": "user", "content": "How is the weather in Oslo?"}]
    first = await client.messages.create(model=MODEL, max_tokens=99, messages=ask, tools=[WEATHER])
    call = first.content[0]
    assert call.type == "tool_use"
    result: Any = {"type": "tool_result", "tool_use_id": call.id}
    found = "The weather in Oslo is cold today. Trains run every hour to the airport."
    told: Any = {"role": "user", "content": [{**result, "content": found}]}
    second = await client.messages.create(
        model=MODEL, max_tokens=99, messages=[*ask, first.to_param(), told], tools=[WEATHER]
    )
    block = second.content[0]
    assert block.type == "text"
    assert "The weather in Oslo is cold today. (weather)" in block.text
    assert "Trains" not in block.text


async def test_no_tool_is_called_where_the_client_forbids_it(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        model=MODEL,
        max_tokens=99,
        messages=[{"role": "user", "content": "Oslo?"}],
        tools=[WEATHER],
        tool_choice={"type": "none"},
    )
    assert message.stop_reason == "end_turn"


async def test_an_answer_stops_at_max_tokens(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**HI | {"max_tokens": 3})
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3
    assert message.content[0].type == "text"
    assert len(message.content[0].text) == 12


async def test_counting_tokens_agrees_with_usage(
    client: AsyncAnthropic, server: MessagesServer
) -> None:
    counted = await client.messages.count_tokens(model=MODEL, messages=HI["messages"])
    used = await client.messages.create(**HI)
    assert counted.input_tokens == used.usage.input_tokens
    assert server.counts == {"/v1/messages/count_tokens": 1, "/v1/messages": 1}


async def test_the_stream_has_the_events_in_the_order_of_the_real_one(
    http: httpx.AsyncClient,
) -> None:
    text = (await http.post("/v1/messages", json={**HI, "stream": True})).text
    frames = [frame.split("\n") for frame in text.strip().split("\n\n")]
    names = [frame[0].removeprefix("event: ") for frame in frames]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    data = [json.loads(frame[1].removeprefix("data: ")) for frame in frames]
    assert [one["type"] for one in data] == names
    assert data[0]["message"]["content"] == []
    assert data[0]["message"]["stop_reason"] is None


async def test_errors_come_on_demand_and_as_often_as_asked(
    client: AsyncAnthropic, server: MessagesServer
) -> None:
    server.fail_next(429, times=2, retry_after=3)
    server.fail_next(529)
    for _ in range(2):
        with pytest.raises(anthropic.RateLimitError) as limited:
            await client.messages.create(**HI)
        assert limited.value.response.headers["retry-after"] == "3"
        assert limited.value.type == "rate_limit_error"
    with pytest.raises(anthropic.OverloadedError):
        await client.messages.create(**HI)
    assert (await client.messages.create(**HI)).content


async def test_a_request_may_ask_for_its_own_failure(client: AsyncAnthropic) -> None:
    headers = {"x-fail": "529", "x-fail-retry-after": "1.5"}
    with pytest.raises(anthropic.OverloadedError) as overloaded:
        await client.messages.create(**HI, extra_headers=headers)
    assert overloaded.value.response.headers["retry-after"] == "1.5"
    assert (await client.messages.create(**HI)).content


async def test_a_stream_may_break_in_the_middle(
    client: AsyncAnthropic, server: MessagesServer
) -> None:
    server.fail_next(529, mid_stream=True)
    pieces: list[str] = []

    async def read() -> None:
        async with client.messages.stream(**HI) as stream:
            async for piece in stream.text_stream:
                pieces.append(piece)

    with pytest.raises(anthropic.APIStatusError) as broken:
        await read()
    assert broken.value.type == "overloaded_error"
    assert len(pieces) == 1


LOST_RESULT = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"text": "no type"}]}]}, "type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "wind"}}, "'wind'"),
        ({"messages": LOST_RESULT}, "tool_result"),
    ],
)
async def test_a_bad_request_is_refused_in_the_apis_words(
    http: httpx.AsyncClient, body: dict[str, Any], names: str
) -> None:
    response = await http.post("/v1/messages", json={**HI, **body})
    assert response.status_code == 400
    error = response.json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert names in error["error"]["message"]


@pytest.mark.parametrize(
    ("path", "key", "content", "status", "kind"),
    [
        ("/v1/messages", "k", b"{", 400, "invalid_request_error"),
        ("/v1/messages", "", b"{}", 401, "authentication_error"),
        ("/v1/models", "k", b"{}", 404, "not_found_error"),
    ],
)
async def test_other_refusals_have_the_apis_shape(
    server: MessagesServer, path: str, key: str, content: bytes, status: int, kind: str
) -> None:
    headers = {"x-api-key": key} if key else {}
    async with httpx.AsyncClient(trust_env=False) as plain:
        response = await plain.post(server.url + path, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [
        "kind",
        "pinned",
        "count",
        "ratio",
        "sure",
        "gone",
        "short",
        "long",
        "tags",
        "inner",
        "maybe",
        "query",
    ],
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "pinned": {"const": 7},
        "count": {"type": "integer", "minimum": 2},
        "ratio": {"type": "number", "exclusiveMinimum": 0},
        "sure": {"type": "boolean"},
        "gone": {"type": "null"},
        "short": {"type": "string", "maxLength": 3},
        "long": {"type": "string", "minLength": 40},
        "tags": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
        "inner": {"$ref": "#/$defs/Inner"},
        "maybe": {"anyOf": [{"type": "null"}, {"type": "string", "default": "yes"}]},
        "query": {"type": "string"},
        "left_out": {"type": "string"},
    },
    "$defs": {
        "Inner": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}},
        }
    },
}


def test_any_schema_is_filled_with_values_that_fit_it() -> None:
    talk = extractive.read([("user", [{"type": "text", "text": "Where is Oslo harbour?"}])])
    assert extractive.fill(SCHEMA, talk) == {
        "kind": "a",
        "pinned": 7,
        "count": 2,
        "ratio": 1,
        "sure": False,
        "gone": None,
        "short": "Whe",
        "long": "Where is Oslo harbour?" + "." * 18,
        "tags": [0, 0],
        "inner": {"city": "Where is Oslo harbour?"},
        "maybe": "yes",
        "query": "oslo harbour",
    }


def test_it_looks_for_what_neither_a_search_nor_two_notes_have() -> None:
    tagged = (
        "<question>Which whales and ships did keepers see?</question>"
        "<searched>whales ships</searched><note>one</note>"
    )
    talk = extractive.read([("user", [{"type": "text", "text": tagged}])])
    assert talk.queries() == ["keepers see"]
    seen = tagged + "<note>The keeper sees.</note><note>Keepers saw and see.</note>"
    assert extractive.read([("user", [{"type": "text", "text": seen}])]).queries() == []
