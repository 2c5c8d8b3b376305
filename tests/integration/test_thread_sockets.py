"""The SDK's v3 thread protocol over WebSockets, as uvicorn serves them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from graph.adapters.postgres import PostgresStore
from tests.integration.test_sdk import INPUT, Stack
from tests.integration.test_streams import following, offer
from tests.unit.test_step_events_live import looking


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    store = PostgresStore(database_url)
    async with following(store) as made:
        yield made
    await store.close()


def url_of(stack: Stack, thread_id: str) -> str:
    return f"{stack.url.replace('http', 'ws')}/threads/{thread_id}/stream/events"


def asking(method: str, number: int = 1, **params: Any) -> str:
    return orjson.dumps({"id": number, "method": method, "params": params}).decode()


async def test_a_run_is_followed_and_answered_over_a_websocket(stack: Stack) -> None:
    async with stack.sdk.threads.stream(assistant_id="asks", transport="websocket") as thread:
        await thread.run.start(input=INPUT)
        async for _ in thread.values:
            pass
        while not thread.interrupted:
            await asyncio.sleep(0.02)
        await thread.run.respond("yes")
        assert await thread.output == {"log": ["x", "a", "answered yes", "c"]}


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_tools_calls_are_handles_of_the_sdk(stack: Stack, transport: Any) -> None:
    offer(stack, looking=looking())
    async with stack.sdk.threads.stream(assistant_id="looking", transport=transport) as thread:
        await thread.run.start(input={"messages": []})
        calls = [call async for call in thread.tool_calls]
        await thread.output
        said = [((await call.output)["content"], call.name, call.input) for call in calls]
    assert said == [("nothing here", "look", {"where": "here"})]


async def test_commands_are_taken_on_the_connection_itself(stack: Stack) -> None:
    thread_id = await stack.thread()
    async with connect(url_of(stack, thread_id)) as socket:
        await socket.send(asking("subscription.subscribe", channels=["lifecycle"]))
        assert orjson.loads(await socket.recv())["type"] == "success"
        await socket.send(asking("run.start", 2, assistant_id="steps", input=INPUT))
        said = [orjson.loads(await socket.recv()) for _ in "abc"]
    (started,) = [one for one in said if one["type"] == "success"]
    frames = [one["params"]["data"] for one in said if one["type"] == "event"]
    assert started["id"] == 2
    assert [frame["event"] for frame in frames] == ["started", "completed"]
    assert {frame["run_id"] for frame in frames} == {started["result"]["run_id"]}


async def test_what_a_frame_asks_wrongly_is_answered_and_changes_nothing(stack: Stack) -> None:
    thread_id, nobodys = await stack.thread(), "01a1fe2a-ab40-7246-904e-77e3832b9702"
    before = await stack.seen(thread_id)
    subscribe = asking("subscription.subscribe", channels=["values"])
    async with connect(url_of(stack, thread_id)) as socket:
        for wrong, error in (
            ("{", "invalid_argument"),
            ("[]", "invalid_argument"),
            (asking("agent.getTree"), "unknown_command"),
            (asking("run.start", assistant_id="nobody"), "no_such_run"),
            (asking("subscription.subscribe", channels=[]), "invalid_argument"),
            (asking("subscription.subscribe", channels=["values"], since=-1), "invalid_argument"),
        ):
            await socket.send(wrong)
            said = orjson.loads(await socket.recv())
            assert (said["type"], said["error"]) == ("error", error), said
        await socket.send(subscribe)
        assert orjson.loads(await socket.recv())["type"] == "success"
        await socket.send(subscribe)
        assert "open another" in orjson.loads(await socket.recv())["message"]
    async with connect(url_of(stack, nobodys)) as socket:
        await socket.send(subscribe)
        said = orjson.loads(await socket.recv())
    assert (said["error"], said["message"].split()[0]) == ("no_such_run", "thread")
    assert await stack.seen(thread_id) == before


async def test_what_names_no_thread_is_no_address(stack: Stack) -> None:
    for wrong in ("x", "%01", "..%2f..", "01a1fe2a-ab40-7246-904e-77e3832b970"):
        with pytest.raises(InvalidStatus, match=r"40[34]"):
            await connect(url_of(stack, wrong))


async def test_a_page_of_another_origin_is_refused(stack: Stack) -> None:
    where = url_of(stack, await stack.thread())
    with pytest.raises(InvalidStatus, match="403"):
        await connect(where, additional_headers={"Origin": "https://elsewhere.example"})
    async with connect(where, additional_headers={"Origin": stack.url}) as socket:
        await socket.ping()


async def test_a_frame_that_is_too_large_closes_the_connection(database_url: str) -> None:
    store = PostgresStore(database_url)
    async with (
        following(store, max_body=1000) as stack,
        connect(url_of(stack, await stack.thread())) as socket,
    ):
        await socket.send(asking("run.start", more="x" * 1000))
        with pytest.raises(ConnectionClosedError, match="1009"):
            await socket.recv()
    await store.close()


async def test_a_deleted_threads_stream_is_closed(stack: Stack) -> None:
    thread_id = await stack.thread()
    async with connect(url_of(stack, thread_id)) as socket:
        await socket.send(asking("subscription.subscribe", channels=["values"]))
        await socket.recv()
        await stack.sdk.threads.delete(thread_id)
        async with asyncio.timeout(10):
            await socket.wait_closed()
    assert socket.close_code == 1000
