"""W1 over HTTP with the unmodified langgraph-sdk: Baton's local stack against other servers."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import repeat
from statistics import quantiles
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.benchmarks.bench import Bench, BenchmarkFailed, middle, ratio
from tests.benchmarks.machine import cpu_of_tree, rss_of_tree
from tests.benchmarks.peers import PEERS, Peer, Running, running
from tests.benchmarks.project.workloads import W1_INPUT, W1_STEPS
from tests.benchmarks.report import Cell, Goal, Result, Table

ABOUT = (
    "W1 (10 no-op supersteps, 2 KB state) over HTTP with the unmodified langgraph-sdk: create a "
    "thread, run, wait. 32 in flight for throughput, one after the other for latency."
)
AT_ONCE = 32
PATIENCE = 60.0  # seconds for a server's turn
BATON, TEN, EACH, EXIT = (peer.name for peer in PEERS[:4])  # skeino saves each step, or at the end


@dataclass(slots=True)
class Figures:
    """A server's rounds."""

    steps_per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # seconds for 1,000 steps
    postgres: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)  # create and wait
    rss: list[float] = field(default_factory=list)
    problem: str = ""


async def measure(bench: Bench) -> Result:
    peers = PEERS[:3] if bench.quick else PEERS
    found = {peer.name: Figures() for peer in peers}
    for _ in range(bench.rounds(2, quick=1)):
        for peer in peers:
            figures = found[peer.name]
            if figures.problem:
                continue
            try:
                async with running(peer, bench) as server, asyncio.timeout(PATIENCE):
                    await _turn(bench, peer, server, figures)
            except BenchmarkFailed as failure:
                figures.problem = str(failure)
            except TimeoutError:
                figures.problem = f"not done after {PATIENCE:g} s"
    return _result(found)


async def _turn(bench: Bench, peer: Peer, server: Running, figures: Figures) -> None:
    async with get_client(url=server.url) as client:
        await _many(client, peer, bench.rounds(32, quick=16))  # warms up
        for _ in range(bench.rounds(20, quick=10)):
            at = time.perf_counter()
            await _one(client, peer)
            figures.ms.append((time.perf_counter() - at) * 1000)
        runs = bench.rounds(96, quick=48)
        cpu, postgres = cpu_of_tree(server.pid), bench.postgres_cpu()
        at = time.perf_counter()
        await _many(client, peer, runs)
        seconds = time.perf_counter() - at
        steps = runs * W1_STEPS
        figures.steps_per_second.append(steps / seconds)
        figures.cpu.append(1000 * (cpu_of_tree(server.pid) - cpu) / steps)
        figures.postgres.append(1000 * (bench.postgres_cpu() - postgres) / steps)
        figures.rss.append(rss_of_tree(server.pid))


async def _many(client: LangGraphClient, peer: Peer, number: int) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turn:
            await _one(client, peer)

    await asyncio.gather(*(one() for _ in range(number)))


async def _one(client: LangGraphClient, peer: Peer) -> None:
    asked: dict[str, Any] = {"durability": peer.durability} if peer.durability else {}
    thread = await client.threads.create()
    values = await client.runs.wait(thread["thread_id"], "w1", input=W1_INPUT, **asked)
    if not isinstance(values, dict) or values.get("n") != W1_STEPS:
        raise BenchmarkFailed(f"a run ended with {str(values)[:200]}")


def _result(found: dict[str, Figures]) -> Result:
    fastest = {name: middle(f.steps_per_second) for name, f in found.items()}
    base = fastest[BATON]
    rows: list[tuple[Cell, ...]] = []
    for name, f in found.items():
        if f.problem:
            rows.append((name, *repeat(None, 7)))
            continue
        figures = (fastest[name], ratio(base, fastest[name]), _part(f.ms, 50), _part(f.ms, 95))
        rows.append((name, *figures, middle(f.cpu), middle(f.postgres), middle(f.rss)))
    columns = (
        "server",
        "steps/s",
        "baton over it",
        "p50 ms",
        "p95 ms",
        "CPU s per 1,000",
        "Postgres CPU s per 1,000",
        "RSS MB",
    )
    return Result(
        "http",
        ABOUT,
        (Table("Medians; all on the same cores as the client", columns, tuple(rows)),),
        _goals(found),
        tuple(f"{name}: {f.problem}" for name, f in found.items() if f.problem),
    )


def _goals(found: dict[str, Figures]) -> tuple[Goal, ...]:
    """Each as a figure, and over the peer that had it on the machine where the goals were set."""
    nobody = Figures()
    ours, ten, each, end = (found.get(name, nobody) for name in (BATON, TEN, EACH, EXIT))
    goals = []
    for what, figure, of, peer, goal, theirs in (
        ("steps/s", _speed, ours, each, 400, 274),
        ("steps/s, 10 steps per invocation", _speed, ten, end, 700, 398),
        ("CPU s per 1,000 steps, Postgres apart", _cpu, ours, end, 1.9, 1.95),
        ("create and wait, p50 ms", _p50, ours, each, 45, 50),
        ("create and wait, p50 ms, 10 steps per invocation", _p50, ten, end, 25, 31),
    ):
        more, name = figure is _speed, EACH if peer is each else EXIT
        over = ratio(figure(of), figure(peer))
        goals.append(Goal(what, figure(of), goal, at_least=more))
        goals.append(Goal(f"{what}: over {name}", over, round(goal / theirs, 2), at_least=more))
    return tuple(goals)


def _speed(figures: Figures) -> float | None:
    return middle(figures.steps_per_second)


def _cpu(figures: Figures) -> float | None:
    return middle(figures.cpu)


def _p50(figures: Figures) -> float | None:
    return _part(figures.ms, 50)


def _part(values: Sequence[float], percent: int) -> float | None:
    return quantiles(values, n=100)[percent - 1] if len(values) > 1 else None
