"""Ten model calls that arrive together, in one invocation."""

from tests.benchmarks.bench import Bench, middle
from tests.benchmarks.contestant import baton
from tests.benchmarks.project.workloads import MODEL_SECONDS
from tests.benchmarks.report import Goal, Result, Table

CALLS = 10
ABOUT = (
    f"{CALLS} records of one invocation, each a node that waits {MODEL_SECONDS:g} s for a model: "
    "the seconds that are billed, against one invocation per call."
)


async def measure(bench: Bench) -> Result:
    billed: list[float] = []
    async with baton(bench.database()) as one:
        await one.do("prepare", graph="w1", number=1)
        await one.do("drain")  # imports
        for _ in range(bench.rounds(3, quick=1)):
            await one.do("prepare", graph="model", number=CALLS)
            billed.append((await one.do("drain")).seconds)
    alone = CALLS * MODEL_SECONDS
    seconds = middle(billed)
    rows = (
        ("an invocation for each, at least", alone, 1.0),
        ("one invocation for all", seconds, seconds / alone if seconds else None),
    )
    return Result(
        "billed",
        ABOUT,
        (Table("Billed seconds", ("how", "seconds", "ratio"), rows),),
        (Goal("billed seconds of ten calls", seconds, 2.6),),
    )
