"""What a step costs as a conversation grows; lease and fence included."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from psycopg.conninfo import make_conninfo

from tests.benchmarks.bench import Bench, middle, ratio, stored_bytes, stored_rows
from tests.benchmarks.contestant import Contestant, baton, stock
from tests.benchmarks.report import Cell, Goal, Result, Table
from tests.fixtures.tap import Tap

ABOUT = (
    "a conversation of 1 KB messages, one appended by each step; milliseconds and bytes of a step "
    "by the number of messages before it. Stock is AsyncPostgresSaver, one `ainvoke` per superstep."
)
SIZES = (10, 100, 1000, 3000)
LONGEST = 10_000  # for Baton alone: stock would take minutes
FULL = 3000  # steps whose storage is compared
STEPS = 10  # in a row, for each contestant's turn
BYTES_STEPS = 5
KINDS = {
    "stock": {},
    "baton, warm": {},
    "baton, cold": {"cold": True},
    "baton, new session": {"cold": True, "session": True},
}
CHUNK = 50


@dataclass(slots=True)
class Traffic:
    """A step's share of what went over the wire, and of the rows that were added."""

    sent: float
    received: float
    round_trips: float
    rows: float


@dataclass(slots=True)
class Growth:
    """A thread that came to its length step by step."""

    ms: list[float] = field(default_factory=list)
    stored: int = 0  # by its steps
    stored_at: int = 0  # steps after which that was


async def measure(bench: Bench) -> Result:
    sizes = SIZES[:3] if bench.quick else (*SIZES, LONGEST)
    times = await _times(bench, sizes)
    pairs = [(who, n) for n in sizes for who in ("stock", "baton") if _takes_part(who, n)]
    traffic = {(who, n): await _traffic(bench, who, n) for who, n in pairs}
    seconds = 6.0 if bench.quick else 50.0
    grown = {who: await _grow(bench, who, seconds) for who in ("stock", "baton")}
    return Result(
        "step",
        ABOUT,
        (_times_table(times, sizes), _traffic_table(traffic), _growth_table(grown)),
        _goals(times, traffic, grown),
        (
            "A thread of the first table gets all but its last messages with its first input; one "
            "of the last table grows step by step.",
            "A cold step finds nothing of its thread in the process, on a connection that was used "
            "before, as a proxy's sessions are. With a new session it is the first on its "
            "connection: Postgres reads its catalogues and plans its functions first.",
            f"Growing ends after {seconds:g} s or {FULL:,} steps; stored is what was added to the "
            "empty tables.",
        ),
    )


def _takes_part(kind: str, n: int) -> bool:
    return n < LONGEST or kind.startswith("baton")


def started(stack: AsyncExitStack, bench: Bench, who: str) -> "asyncio.Future[Contestant]":
    start = {"stock": stock, "baton": baton}[who]
    return asyncio.ensure_future(stack.enter_async_context(start(bench.database())))


async def _times(bench: Bench, sizes: Sequence[int]) -> dict[tuple[str, int], list[float]]:
    """Milliseconds by contestant and size; they take turns."""
    times: dict[tuple[str, int], list[float]] = {(k, n): [] for k in KINDS for n in sizes}
    async with AsyncExitStack() as stack:
        contestants = {who: await started(stack, bench, who) for who in ("stock", "baton")}
        for n in sizes:
            threads = {kind: f"{kind} {n}" for kind in KINDS if _takes_part(kind, n)}
            for kind, thread in threads.items():
                one = contestants[kind.partition(",")[0]]
                await one.do("converse", thread=thread, number=n - 3)
                await one.do("steps", thread=thread, number=2)
            for _ in range(bench.rounds(5, quick=2)):
                for kind, thread in threads.items():
                    one = contestants[kind.partition(",")[0]]
                    cost = await one.do("steps", thread=thread, number=STEPS, **KINDS[kind])
                    times[kind, n] += cost.answer
    return times


async def _traffic(bench: Bench, who: str, n: int) -> Traffic:
    url = bench.database()
    async with Tap(bench.server.port) as tap:
        start = {"stock": stock, "baton": baton}[who]
        async with start(make_conninfo(url, port=tap.port)) as one:
            await one.do("converse", thread="t", number=n - 3)
            await one.do("steps", thread="t", number=2)
            rows = stored_rows(url)
            before = (tap.sent, tap.received, tap.round_trips)
            await one.do("steps", thread="t", number=BYTES_STEPS)
            after = (tap.sent, tap.received, tap.round_trips)
            sent, received, trips = (
                (b - a) / BYTES_STEPS for a, b in zip(before, after, strict=True)
            )
            return Traffic(sent, received, trips, (stored_rows(url) - rows) / BYTES_STEPS)


async def _grow(bench: Bench, who: str, seconds: float) -> Growth:
    """Step after step, as far as time allows."""
    url, growth = bench.database(), Growth()
    until = time.monotonic() + seconds
    async with {"stock": stock, "baton": baton}[who](url) as one:
        empty = stored_bytes(url)
        await one.do("converse", thread="t", number=1)
        while len(growth.ms) < FULL and time.monotonic() < until:
            growth.ms += (await one.do("steps", thread="t", number=CHUNK)).answer
        growth.stored, growth.stored_at = stored_bytes(url) - empty, len(growth.ms)
    return growth


def _times_table(times: dict[tuple[str, int], list[float]], sizes: Sequence[int]) -> Table:
    rows = []
    for n in sizes:
        of_stock, warm, cold, new = (middle(times[kind, n]) for kind in KINDS)
        ratios = (ratio(warm, of_stock), ratio(cold, of_stock))
        rows.append((f"{n:,}", of_stock, warm, cold, new, *ratios))
    columns = ("messages", "stock", "warm", "cold", "new session", "warm / stock", "cold / stock")
    return Table("Milliseconds per step (medians)", columns, tuple(rows))


def _traffic_table(traffic: dict[tuple[str, int], Traffic]) -> Table:
    rows = tuple(
        (f"{n:,}", who, t.sent / 1000, t.received / 1000, t.round_trips, t.rows)
        for (who, n), t in traffic.items()
    )
    columns = ("messages", "who", "KB sent", "KB received", "round trips", "rows added")
    return Table("Per warm step, between process and Postgres", columns, rows)


def _growth_table(grown: dict[str, Growth]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for who, growth in grown.items():
        reached = {n for n in SIZES if n <= len(growth.ms)} | {len(growth.ms)}
        for n in sorted(reached | {growth.stored_at}):
            stored = growth.stored / 1e6 if n == growth.stored_at else None
            rows.append((who, f"{n:,}", middle(_around(growth.ms, n)), stored))
    return Table("Grown step by step", ("who", "steps", "ms per step", "MB stored"), tuple(rows))


def _around(ms: list[float], n: int) -> list[float]:
    """The tenth of all steps that leads up to the n-th, at least five of them."""
    return ms[n - max(5, n // 10) : n]


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of a straight line through the points' logarithms, by least squares."""
    if len(points) < 2:
        return None
    logs = [(math.log(x), math.log(y)) for x, y in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    over = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return over / sum((x - mean_x) ** 2 for x, _ in logs)


def _goals(
    times: dict[tuple[str, int], list[float]],
    traffic: dict[tuple[str, int], Traffic],
    grown: dict[str, Growth],
) -> tuple[Goal, ...]:
    def of(kind: str, n: int) -> float | None:
        return ratio(middle(times.get((kind, n), [])), middle(times.get(("stock", n), [])))

    at_full = traffic.get(("baton", FULL))
    baton_traffic = [(float(n), t) for (who, n), t in traffic.items() if who == "baton"]
    curve = {n: middle(times.get(("baton, warm", n), [])) for n in (*SIZES, LONGEST)}
    points = [(float(n), median) for n, median in curve.items() if median]
    full = grown["baton"].stored / 1e6 if grown["baton"].stored_at == FULL else None
    span = f"{points[0][0]:,.0f} to {points[-1][0]:,.0f}"
    return (
        Goal("warm / stock at 3,000 messages", of("baton, warm", FULL), 1 / 25),
        Goal("cold / stock at 3,000 messages", of("baton, cold", FULL), 1 / 5),
        Goal("warm / stock at 10 messages", of("baton, warm", 10), 1.0),
        Goal("KB sent per step at 3,000", at_full.sent / 1000 if at_full else None, 6.0),
        Goal(f"MB stored after {FULL:,} steps", full, 7.0),
        Goal("exponent of rows added", exponent([(n, t.rows) for n, t in baton_traffic]), 0.02),
        Goal("exponent of bytes sent", exponent([(n, t.sent) for n, t in baton_traffic]), 0.02),
        Goal(
            f"exponent of ms, warm, {span} messages",
            exponent(points),
            0.25,
        ),
    )
