"""How long a token is on its way from the model to the client, through a run on an open line."""

import time
from contextlib import AsyncExitStack
from statistics import quantiles
from typing import Any

import anthropic
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graph.llm.settings import OFFLINE_MODEL
from infra.local.messages import MessagesServer
from tests.benchmarks.bench import ROOT, Bench, BenchmarkFailed, middle
from tests.benchmarks.peers import BATON, Peer, running
from tests.benchmarks.report import Cell, Goal, Result, Table

ABOUT = (
    "milliseconds from the model server sending the first text of an answer to the client having "
    "it: from the model directly, and as `messages-tuple` of the chat agent's run, whose steps the "
    "API takes itself (langgraph-sdk, `runs.stream`). They take turns."
)
QUESTION = "Say in one sentence what a durable run is."
MS = 30.0
DIRECT, RUN, WORKERS = "model, directly", "run, on its line", "run, by workers"


class TimedModel(MessagesServer):
    """The offline model server; knows when it sent the last first text of an answer."""

    sent_at = 0.0

    def _app(self) -> ASGIApp:
        app = super()._app()

        async def timed(scope: Scope, receive: Receive, send: Send) -> None:
            told = False

            async def noting(message: Message) -> None:
                nonlocal told
                if not told and b"text_delta" in message.get("body", b""):
                    told, self.sent_at = True, time.monotonic()
                await send(message)

            await app(scope, receive, noting)

        return timed


def _command(python: Any, port: int) -> list[str]:
    told = ("--port", str(port), "--queue", "memory", "--workers", "2", "--data", "data")
    project = str(ROOT / "langgraph.json")
    return [str(python), "-P", "-c", BATON, "dev", *told, "--config", project]


async def measure(bench: Bench) -> Result:
    ms: dict[str, list[float]] = {DIRECT: [], RUN: [], WORKERS: []}
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(TimedModel())
        env = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "offline"}
        urls = [
            (await stack.enter_async_context(running(Peer(name, _command, env=told), bench))).url
            for name, told in ((RUN, env), (WORKERS, {**env, "BATON_LINE_SECONDS": "0"}))
        ]
        sdks = [await stack.enter_async_context(get_client(url=url)) for url in urls]
        api = anthropic.AsyncAnthropic(base_url=model.url, api_key="offline")
        direct = await stack.enter_async_context(api)
        for number in range(1 + bench.rounds(50, quick=15)):
            took = {
                DIRECT: await _direct(direct, model),
                RUN: await _run(sdks[0], model),
                WORKERS: await _run(sdks[1], model),
            }
            for who in took if number else ():  # the first round warms up
                ms[who].append(took[who])
    return _result(ms)


async def _direct(api: anthropic.AsyncAnthropic, model: TimedModel) -> float:
    """Milliseconds; so for the others."""
    asked: Any = [{"role": "user", "content": QUESTION}]
    called = api.messages.stream(model=OFFLINE_MODEL, max_tokens=1000, messages=asked)
    async with called as stream:
        async for _ in stream.text_stream:
            took = time.monotonic() - model.sent_at
            break
        await stream.get_final_message()
    return took * 1000


async def _run(sdk: LangGraphClient, model: TimedModel) -> float:
    thread = await sdk.threads.create()
    asked: Any = {"messages": [{"role": "user", "content": QUESTION}]}
    took = None
    parts = sdk.runs.stream(thread["thread_id"], "chat", input=asked, stream_mode="messages-tuple")
    async for part in parts:
        if took is None and part.event == "messages" and part.data[0]["type"] == "AIMessageChunk":
            took = time.monotonic() - model.sent_at if part.data[0]["content"] else None
        if part.event == "error":
            raise BenchmarkFailed(f"the run failed: {part.data}")
    if took is None:
        raise BenchmarkFailed("the run told no text of the model")
    return took * 1000


def _result(ms: dict[str, list[float]]) -> Result:
    rows: list[tuple[Cell, ...]] = []
    base = middle(ms[DIRECT]) or 0.0
    for who, times in ms.items():
        p50 = middle(times) or 0.0
        rows.append((who, p50, quantiles(times, n=20)[-1], p50 - base))
    columns = ("who", "p50", "p95", "p50 above the direct call's")
    return Result(
        "first_token",
        ABOUT,
        (Table("Milliseconds from model to client", columns, tuple(rows)),),
        (Goal("ms to the client, p50, on its line", middle(ms[RUN]), MS),),
        ("Model, servers and client share one machine.",),
    )
