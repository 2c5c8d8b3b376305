"""The unmodified JavaScript SDK on open lines, in segments, through broken connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from graph.adapters.postgres import PostgresStore
from tests.fixtures.node import Node
from tests.fixtures.tap import Tap
from tests.integration.test_sdk import Stack
from tests.integration.test_streams import (
    following,
    log_of,
    offer,
    store,
    ticking,
)

__all__ = ["store"]  # for pytest


@pytest.fixture(params=["open", "segments"])
async def stack(
    request: pytest.FixtureRequest,
    store: PostgresStore,
) -> AsyncIterator[Stack]:
    """A server that streams, and one behind a gateway that buffers."""
    async with following(store, segments=request.param == "segments", wait_seconds=1.0) as made:
        yield made


async def test_joining_late_going_on_and_filtering(stack: Stack, node: Node) -> None:
    seen = await node(node.sdk, stack.url, "join")

    whole = seen["whole"]
    assert [part["event"] for part in whole] == [
        "metadata",
        "values",
        *["updates", "values"] * 3,
        "end",
    ]
    written = await log_of(stack.service, seen["run_id"])
    assert [part["id"] for part in whole[1:-1]] == [str(event.seq) for event in written]
    told = [part for part in seen["rest"] if part["event"] != "metadata"]
    assert told == whole[5:]
    assert {part["event"] for part in seen["values"]} == {"metadata", "values", "end"}


async def test_waiting_longer_than_one_answer_may_take(stack: Stack, node: Node) -> None:
    offer(stack, ticking=ticking(6, 0.5))

    seen = await node(node.sdk, stack.url, "wait")

    ticked = {"log": [f"tick {n}" for n in range(6)]}
    assert seen == {"values": ticked, "alone": ticked, "runs": 1}


async def test_a_wait_that_is_cut_off_where_its_line_ends(store: PostgresStore, node: Node) -> None:
    async with following(store, stream_seconds=1.0) as stack:
        offer(stack, ticking=ticking(4, 0.5))
        seen = await node(node.sdk, stack.url, "cut")
    assert seen == {"raised": True, "values": {"log": [f"tick {n}" for n in range(4)]}, "runs": 1}


async def test_a_question_and_its_answer(stack: Stack, node: Node) -> None:
    seen = await node(node.sdk, stack.url, "approve")

    (question,) = seen["asked"]["__interrupt__"]
    assert question["value"] == {"ask": "go on?"}
    assert seen["status"] == "interrupted"
    assert list(seen["interrupts"].values()) == [[question]]
    updates = [part["data"] for part in seen["parts"] if part["event"] == "updates"]
    assert updates == [{"ask": {"log": ["answered yes"]}}, {"c": {"log": ["c"]}}]
    assert seen["state"]["values"] == {"log": ["x", "a", "answered yes", "c"]}


async def test_threads_their_history_and_a_fork(stack: Stack, node: Node) -> None:
    seen = await node(node.sdk, stack.url, "threads")

    assert seen == {
        "history": 5,
        "edited": {"log": ["x", "edited"]},
        "copied": {"log": ["x", "edited"]},
        "found": 2,
        "gone": 404,
        "graphs": ["steps"],
    }


class Cutting(Tap):
    """Breaks off every few seconds, in the middle of what the server says of a run.

    Before an answer has begun it does not: the SDK raises that a server cannot be reached.
    """

    every = 4.0  # seconds
    cuts = 0
    last = 0.0

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool
    ) -> None:
        if client:
            await super()._pump(reader, writer, client=client)
            return
        while data := await reader.read(65536):
            told = data.find(b"event: ")
            cut = told >= 0 and time.monotonic() - self.last > self.every
            writer.write(data[: (told + len(data)) // 2] if cut else data)
            await writer.drain()
            if cut:
                self.cuts, self.last = self.cuts + 1, time.monotonic()
                break
        writer.close()


async def test_a_run_is_followed_through_broken_connections(
    store: PostgresStore, node: Node
) -> None:
    seconds = 15
    async with following(store) as stack:
        offer(stack, ticking=ticking(seconds * 5, 0.2))
        async with Cutting(httpx.URL(stack.url).port or 0) as tap:
            seen: Any = await node(node.sdk, f"http://127.0.0.1:{tap.port}", "follow")
        written = await log_of(stack.service, seen["run_id"])

    assert seen["ids"] == [event.seq for event in written]
    assert len(written) == 1 + 3 * 5 * seconds
    assert len(seen["last"]["log"]) == 5 * seconds
    assert tap.cuts >= 3
