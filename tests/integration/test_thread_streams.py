"""The unmodified SDK follows threads: every run, running and to come, over any kind of line."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError

from graph.adapters.postgres import PostgresStore
from tests.fixtures.tap import Tap
from tests.integration.test_sdk import INPUT, Stack
from tests.integration.test_streams import SEGMENT, following, offer, ticking

ASKED: Any = {"stream_mode": ["values", "custom"], "stream_resumable": True}


@pytest.fixture(params=[False, True], ids=["open line", "segments"])
async def stack(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Stack]:
    store = PostgresStore(database_url)
    async with following(store, segments=request.param) as made:
        yield made
    await store.close()


async def parts_until(joining: Awaitable[AsyncIterator[Any]], ends: int) -> list[Any]:
    """What it told until so many runs were over."""
    got: list[Any] = []
    async with asyncio.timeout(30), contextlib.aclosing(cast("Any", await joining)) as parts:
        async for part in parts:
            got.append(part)
            ends -= part.event == "metadata" and part.data.get("status") == "run_done"
            if not ends:
                break
    return got


def told(parts: list[Any]) -> list[tuple[str, Any]]:
    """Without the repeated greetings of segments and connections."""
    return [(p.event, p.data) for p in parts if p.event != "metadata"]


async def test_all_runs_of_a_thread_arrive_in_one_stream(stack: Stack) -> None:
    thread_id = await stack.thread()
    before = await stack.sdk.runs.create(thread_id, "steps", input=INPUT, **ASKED)
    await stack.sdk.runs.join(thread_id, before["run_id"])
    following_it = asyncio.create_task(
        parts_until(stack.sdk.threads.join_stream(thread_id), ends=2)
    )
    await asyncio.sleep(0.3)
    runs = [await stack.sdk.runs.create(thread_id, "steps", input=INPUT, **ASKED) for _ in "ab"]

    parts = await following_it

    ends = [p.data["run_id"] for p in parts if p.data.get("status") == "run_done"]
    assert ends == [run["run_id"] for run in runs]
    assert before["run_id"] not in str(parts)
    one = [("values", {"log": ["x", *"abc", *"xabc"[:n]]}) for n in range(1, 5)]
    assert told(parts)[:4] == one
    assert len(told(parts)) == 8
    again = await parts_until(stack.sdk.threads.join_stream(thread_id, last_event_id="-1"), ends=3)
    assert told(again)[4:] == told(parts)


async def test_a_dropped_connection_neither_loses_nor_repeats(stack: Stack) -> None:
    offer(stack, ticking=ticking(50, 0.05))
    thread_id = await stack.thread()
    async with (
        Tap(httpx.URL(stack.url).port or 0) as tap,
        get_client(url=f"http://127.0.0.1:{tap.port}") as sdk,
    ):
        follow = asyncio.create_task(parts_until(sdk.threads.join_stream(thread_id), ends=2))
        await asyncio.sleep(0.2)
        for _ in range(2):
            await stack.sdk.runs.create(thread_id, "ticking", input={"log": []}, **ASKED)
        await asyncio.sleep(SEGMENT + 0.6)  # a first segment has arrived: there is a Location
        tap.hang_up()
        parts = await follow
    ticks = [p.data["tick"] for p in parts if p.event == "custom"]
    # The second run finds what the first one left, and takes one more step.
    assert ticks == [*range(50), 50]
    ids = [p.id for p in parts if p.event == "custom"]
    assert len(set(ids)) == len(ids)


async def test_lifecycle_and_state_updates_without_the_runs_own_events(stack: Stack) -> None:
    thread_id = (await stack.sdk.threads.create(graph_id="steps"))["thread_id"]
    modes: Any = ["lifecycle", "state_update"]
    follow = asyncio.create_task(
        parts_until(stack.sdk.threads.join_stream(thread_id, stream_mode=modes), ends=1)
    )
    await asyncio.sleep(0.2)
    await stack.sdk.threads.update_state(thread_id, {"log": ["by hand"]}, as_node="a")
    await asyncio.sleep(0.8)
    run = await stack.sdk.runs.create(thread_id, "fails", input=INPUT, **ASKED)
    parts = await follow
    assert {p.event for p in parts} == {"metadata", "state_update"}
    first = next(p for p in parts if p.event == "state_update")
    assert first.data["values"] == {"log": ["by hand"]}
    assert first.data["checkpoint"]["thread_id"] == thread_id
    assert parts[-1].data == {
        "status": "run_done",
        "run_id": run["run_id"],
        "run_status": "error",
        "error": {"error": "ValueError", "message": "as told"},
    }


async def test_a_thread_that_is_not_there_and_places_that_are_none(stack: Stack) -> None:
    threads, thread_id = stack.sdk.threads, await stack.thread()
    nobodys = "01a1fe2a-ab40-7246-904e-77e3832b9702"
    with pytest.raises(NotFoundError):
        await parts_until(threads.join_stream(nobodys), ends=1)
    for wrong in ("x", "1", "1-", "1-2-3", "9" * 30 + "-1", "1-" + "9" * 30, "٣-1"):
        path = f"/threads/{thread_id}/stream"
        response = await stack.service.http.get(path, headers={b"Last-Event-ID": wrong.encode()})
        assert response.status_code == 422, wrong
        assert "Last-Event-ID" in response.text
    with pytest.raises(UnprocessableEntityError):
        await parts_until(threads.join_stream(thread_id, stream_mode=cast("Any", "values")), 1)
