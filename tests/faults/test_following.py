"""A long run followed by both SDKs at once, through segments and connections that break."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from starlette.types import ASGIApp, Receive, Scope, Send

from graph.adapters.postgres import PostgresStore
from tests.fixtures.node import Node
from tests.fixtures.service import Service, service, worker
from tests.integration.test_sdk import Stack, served
from tests.integration.test_sdk_javascript import Cutting
from tests.integration.test_streams import buffered, log_of, offer, ticking

PACE = 0.5  # seconds of a step
Follow = Callable[[str], Awaitable[tuple[str, list[int]]]]


@dataclass
class Gateway:
    """Buffers answers as API Gateway does, and counts segments by the address they go to."""

    app: ASGIApp
    segments: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/stream"):
            self.segments[httpx.Headers(scope["headers"])["host"]] += 1
        await buffered(self.app)(scope, receive, send)


@asynccontextmanager
async def behind_a_gateway(
    url: str, segment: float, steps: int
) -> AsyncIterator[tuple[Service, Gateway, str]]:
    store = PostgresStore(url)
    behind = service(store, segment_seconds=segment)
    gateway = Gateway(behind.app)
    try:
        async with (
            served(gateway) as address,
            worker(behind),  # one for each run
            worker(behind),
            get_client(url=address) as sdk,
        ):
            offer(Stack(sdk, behind, address), ticking=ticking(steps, PACE))
            yield behind, gateway, address
    finally:
        await store.close()


async def python(url: str) -> tuple[str, list[int]]:
    """What the Python SDK sees of a run: its id, and the ids of its events."""
    made: list[Any] = []
    async with get_client(url=url) as sdk:
        stream = sdk.runs.stream(
            (await sdk.threads.create())["thread_id"],
            "ticking",
            input={"log": []},
            config={"recursion_limit": 1000},
            stream_mode=["values", "updates", "custom"],
            stream_resumable=True,
            on_run_created=made.append,
        )
        parts = [part async for part in stream]
    told = [part for part in parts if part.event in ("values", "updates", "custom")]
    return made[0]["run_id"], [int(part.id or 0) for part in told]


def javascript(node: Node) -> Follow:
    async def follow(url: str) -> tuple[str, list[int]]:
        seen = await node(node.sdk, url, "follow")
        return seen["run_id"], seen["ids"]

    return follow


async def test_both_sdks_see_every_event_once_and_in_order(
    database_url: str, node: Node, request: pytest.FixtureRequest
) -> None:
    seconds, segment = (90, 5.0) if request.config.getoption("--full") else (20, 2.0)
    steps = round(seconds / PACE)
    async with behind_a_gateway(database_url, segment, steps) as (behind, gateway, address):

        async def through_a_tap(name: str, follow: Follow) -> tuple[int, int]:
            async with Cutting(httpx.URL(address).port or 0) as tap:
                tap.every = 1.6 * segment  # others end by themselves
                run_id, ids = await follow(f"http://127.0.0.1:{tap.port}")
                segments = gateway.segments[f"127.0.0.1:{tap.port}"]
            written = [event.seq for event in await log_of(behind, run_id)]
            print(
                f"{name}: {len(ids)} events seen of {len(written)} written in {seconds} s, "
                f"{segments} segments, {tap.cuts} connections broken"
            )
            assert ids == written
            assert len(written) == 1 + 3 * steps
            return segments, tap.cuts

        both = await asyncio.gather(
            through_a_tap(f"langgraph-sdk {version('langgraph-sdk')} (Python)", python),
            through_a_tap("@langchain/langgraph-sdk (JavaScript)", javascript(node)),
        )
    for segments, cuts in both:
        assert segments >= 4
        assert cuts >= 2
