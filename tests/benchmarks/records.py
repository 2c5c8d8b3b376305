"""W1 without HTTP: records straight into the step handler, against stock in one process."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tests.benchmarks.bench import Bench, middle, ratio
from tests.benchmarks.contestant import Contestant, Cost, baton, dbos, stock
from tests.benchmarks.project.workloads import W1_STEPS
from tests.benchmarks.report import Goal, Result, Table

ABOUT = (
    "W1 (10 no-op supersteps, 2 KB state): records, ten at a time, straight into the step handler, "
    "one superstep each; stock in one process, 32 runs at once over a pool. Lambda runs each "
    "invocation in a process of its own: two of them share the two cores here. DBOS takes W1's "
    "node as a workflow of 10 steps, 32 at once in one process: each result is stored, but there "
    "is no graph, checkpoint, thread or queue, and nothing fences a workflow against a second "
    "process that takes it for lost."
)
AT_ONCE = 32
BATON = "baton: one superstep per record"
BOTH = "baton: two invocations at once, as in Lambda"
PREPARED = "the same, statements prepared (no proxy)"
PER_RUN, PER_STEP = "stock: one ainvoke per run", "stock: one ainvoke per superstep"
WORKFLOW = "DBOS: a workflow of 10 steps"
EVERYBODY = (BATON, BOTH, PREPARED, PER_RUN, PER_STEP, WORKFLOW)


@dataclass(slots=True)
class Speeds:
    """A contestant's rounds."""

    steps_per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # seconds for 1,000 steps
    postgres: list[float] = field(default_factory=list)

    def add(self, steps: int, cost: Cost, postgres: float) -> None:
        self.steps_per_second.append(steps / cost.seconds)
        self.cpu.append(1000 * cost.cpu / steps)
        self.postgres.append(1000 * postgres / steps)


async def measure(bench: Bench) -> Result:
    runs = bench.rounds(80, quick=40)
    speeds = {name: Speeds() for name in EVERYBODY}
    async with AsyncExitStack() as stack:
        database = bench.database()
        ours = await stack.enter_async_context(baton(database))
        beside = await stack.enter_async_context(baton(database))
        prepared = baton(bench.database(), DATABASE_PREPARES="true")
        theirs = await stack.enter_async_context(stock(bench.database()))
        workflows = await stack.enter_async_context(dbos(bench.database()))
        whose = {
            BATON: [ours],
            BOTH: [ours, beside],
            PREPARED: [await stack.enter_async_context(prepared)],
        }
        for number in range(1 + bench.rounds(5, quick=3)):
            for name in speeds:
                workers = whose.get(name, [])
                for one in workers:
                    await one.do("prepare", graph="w1", number=runs // len(workers))
                before = await asyncio.to_thread(bench.postgres_cpu)
                if workers:
                    cost = await _drained(workers, runs)
                elif name == WORKFLOW:
                    cost = await workflows.do("runs", number=runs, at_once=AT_ONCE)
                    assert cost.answer == runs * W1_STEPS, f"{cost.answer} steps for {runs} runs"
                else:
                    single = name == PER_STEP
                    cost = await theirs.do("runs", number=runs, at_once=AT_ONCE, single=single)
                postgres = await asyncio.to_thread(bench.postgres_cpu) - before
                if number:  # the first round warms up
                    speeds[name].add(runs * W1_STEPS, cost, postgres)
    return _result(speeds)


async def _drained(workers: list[Contestant], runs: int) -> Cost:
    costs = await asyncio.gather(*(one.do("drain") for one in workers))
    taken = sum(cost.answer for cost in costs)
    assert taken == runs * W1_STEPS, f"{taken} records for {runs} runs"
    return Cost(taken, max(cost.seconds for cost in costs), sum(cost.cpu for cost in costs))


def _result(speeds: dict[str, Speeds]) -> Result:
    rate = {name: middle(s.steps_per_second) for name, s in speeds.items()}
    rows = []
    for name, s in speeds.items():
        low, high = min(s.steps_per_second), max(s.steps_per_second)
        spread = f"{low:.0f} to {high:.0f}"
        cpu, postgres = middle(s.cpu), middle(s.postgres)
        rows.append((name, rate[name], spread, ratio(rate[name], rate[PER_RUN]), cpu, postgres))
    columns = ("who", "steps/s", "range", "ratio", "CPU s per 1,000", "Postgres CPU s per 1,000")
    return Result(
        "records",
        ABOUT,
        (Table("Medians of interleaved rounds", columns, tuple(rows)),),
        (
            Goal("steps/s, one process", rate[BATON], 540, at_least=True),
            Goal("steps/s, two processes on the two cores", rate[BOTH], 540, at_least=True),
            Goal("steps/s over stock, per run", ratio(rate[BATON], rate[PER_RUN]), 1.0, True),
            Goal(
                "steps/s over stock, per superstep", ratio(rate[BATON], rate[PER_STEP]), 1.0, True
            ),
        ),
    )
