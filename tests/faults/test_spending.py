"""Measures what calls are allowed: limits that are kept, waits that cost nothing, ceilings.

`make test-faults ARGS="-k spending"` prints the numbers for 100 runs.
"""

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib import import_module
from statistics import median
from typing import Any
from uuid import uuid4

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from starlette.requests import Request
from starlette.responses import Response

from graph.adapters.memory import MemoryQueue
from graph.adapters.postgres import PostgresStore
from graph.llm import client
from graph.llm.chat import Claude
from graph.runtime.engine import Runtime
from graph.runtime.models import NewRun, Run, RunStatus
from graph.runtime.runs import start_run
from graph.runtime.step import step
from graph.timing import DATABASE, Stopwatch
from infra.local import message_format
from infra.local.messages import Fault, MessagesServer
from tests.fixtures.driver import OWNER, Loaded

pytestmark = pytest.mark.fault

WORKERS = 8
LATENCY = 0.5  # seconds that the model takes
MINUTE = 60.0
PATIENCE = 400.0  # seconds until runs that have not ended count as lost
USAGE = {"input_tokens": 40_000, "output_tokens": 4_000}
COST = Decimal("0.006")  # of one such call


class Limiting(MessagesServer):
    """A model server that refuses every other call, and counts requests by the minute."""

    def __init__(self, *, refusing: bool) -> None:
        super().__init__(latency=LATENCY)
        self.refusing, self.refused, self.answered, self.most = refusing, 0, 0, 0
        self.seconds = 0.0  # that requests were kept for
        self.arrivals: deque[float] = deque()
        self.coin = random.Random(5)

    def next_fault(self, request: Request) -> Fault | None:
        now = time.monotonic()
        self.arrivals.append(now)
        while self.arrivals[0] < now - MINUTE:
            self.arrivals.popleft()
        self.most = max(self.most, len(self.arrivals))
        if not self.refusing or self.coin.random() < 0.5:
            return None
        self.refused += 1
        return Fault(429, retry_after=0.2)

    def answer(self, call: message_format.Call) -> dict[str, Any]:
        self.answered += 1
        return super().answer(call) | {"model": "claude-haiku-5-5", "usage": USAGE}

    async def _messages(self, request: Request) -> Response:
        began = time.monotonic()
        try:
            return await super()._messages(request)
        finally:
            self.seconds += time.monotonic() - began


@asynccontextmanager
async def model(monkeypatch: pytest.MonkeyPatch, *, refusing: bool) -> AsyncIterator[Limiting]:
    async with Limiting(refusing=refusing) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "offline")
        monkeypatch.delenv("BATON_MODEL", raising=False)
        import_module("anthropic")  # once in each process, not by eight workers of one at once
        yield server
        await client.close()


async def think(state: MessagesState) -> Any:
    return {"messages": [await Claude().ainvoke(state["messages"])]}


def twice() -> Any:
    built = StateGraph(MessagesState).add_node("one", think).add_node("two", think)
    return built.add_edge(START, "one").add_edge("one", "two").compile()


def for_ever() -> Any:
    built = StateGraph(MessagesState).add_node("think", think)
    return built.add_edge(START, "think").add_edge("think", "think").compile()


@dataclass
class Workers:
    """Workers on one database; each message is a call of the step function, and is timed."""

    database_url: str
    graph: Any
    handlers: float = 0.0  # seconds
    database: float = 0.0  # seconds of these
    steps: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)  # seconds of each step that ended to wait

    def __post_init__(self) -> None:
        self.queue = MemoryQueue()
        self.stores: list[Any] = [PostgresStore(self.database_url) for _ in range(WORKERS)]

    def runtime(self, store: Any) -> Runtime:
        return Runtime(store, self.queue, Loaded({"graph": self.graph}))

    async def run(self, runs: int, **kwargs: Any) -> list[Run]:
        """Start as many runs and work until all have ended."""
        first = self.runtime(self.stores[0])
        given = {"input": {"messages": [("user", "Hello")]}, **kwargs}
        new = [NewRun(str(uuid4()), str(uuid4()), OWNER, "g", "graph", given) for _ in range(runs)]
        for one in new:
            await start_run(first, one, make_thread=True)
        working = [asyncio.create_task(self._work(store)) for store in self.stores]
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(run.status.ended for run in await self._found(new)):
                    await asyncio.sleep(0.5)
        finally:
            for worker in working:
                worker.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        found = await self._found(new)
        for store in self.stores:
            await store.close()
        return found

    async def _found(self, new: list[NewRun]) -> list[Run]:
        return [await self.stores[0].get_run(one.run_id, one.thread_id, OWNER) for one in new]

    async def _work(self, store: Any) -> None:
        rt = self.runtime(store)
        while True:
            job = await self.queue.receive()
            if job is None:
                await asyncio.sleep(0.02)
                continue
            watch, began = Stopwatch(), time.monotonic()
            DATABASE.set(watch)
            how = await step(job, rt, time_left=30.0)
            took = time.monotonic() - began
            self.database += watch.seconds
            self.steps[how] += 1
            self.handlers += took
            if how == "later":
                self.waits.append(took)


async def test_runs_under_a_rate_limit_all_finish_and_nobody_pays_for_waiting(
    database_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    runs, limit = (100, 300) if request.config.getoption("--full") else (12, 100)
    limits = {"claude": {"requests": limit, "output_tokens": 10**6}}
    monkeypatch.setenv("BATON_MODEL_LIMITS", json.dumps(limits))
    async with model(monkeypatch, refusing=True) as server:
        began, cpu = time.monotonic(), time.process_time()
        workers = Workers(database_url, twice())
        ended = await workers.run(runs)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
    waits, steps = workers.steps["later"], workers.steps.total()
    dry = [seconds for seconds in workers.waits if seconds < LATENCY]
    lived = sum((run.ended_at - run.created_at).total_seconds() for run in ended if run.ended_at)
    rest = workers.handlers - server.seconds - workers.database
    print(
        f"\n{runs} runs of 2 calls, half of the requests refused: {took:.0f} s; "
        f"{server.answered} answered, {server.refused} refused, at most {server.most} requests in "
        f"a minute of {limit} allowed\n{steps} invocations ran {workers.handlers:.1f} s: "
        f"{server.seconds:.1f} s of them the model, {workers.database:.1f} s the database, "
        f"{rest:.1f} s all else ({cpu / steps * 1000:.0f} ms of CPU an invocation, with the model "
        f"server's); runs waited {lived - workers.handlers:.0f} s that nobody pays for\n{waits} "
        f"steps ended to wait, {len(dry)} of them found a dry bucket, in "
        f"{median(dry or [0.0]) * 1000:.0f} ms (median)"
    )
    assert {run.status for run in ended} == {RunStatus.SUCCESS}
    assert server.answered == 2 * runs
    assert server.most <= limit
    assert waits >= server.refused  # every wait is a step that ended: nobody sleeps


async def test_a_run_away_loop_stops_within_one_call_of_its_ceiling(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with model(monkeypatch, refusing=False) as server:
        budget = {"configurable": {"budget": {"usd": 0.10}}}
        (run,) = await Workers(database_url, for_ever()).run(1, config=budget)
    print(
        f"\na loop without end under $0.10: {server.answered} calls, the server counts "
        f"${server.answered * COST}, on record are ${run.spent.usd}"
    )
    assert run.status is RunStatus.INTERRUPTED
    assert Decimal("0.10") <= run.spent.usd < Decimal("0.10") + COST
    assert run.spent.usd == server.answered * COST
    assert run.spent.calls == server.answered
