"""What a cold start imports: time and memory of fresh interpreters, with bytecode."""

import asyncio
import json
import sys

from tests.benchmarks.bench import ROOT, Bench, BenchmarkFailed, clean_env, middle, ratio
from tests.benchmarks.contestant import baton_env
from tests.benchmarks.report import Goal, Result, Table

ABOUT = "import time and peak memory of each function in fresh interpreters with bytecode."
ENGINE = "graph.runtime.superstep, graph.runtime.step_saver"
BARE = "langgraph.graph"
READY = "step, with what its first step imports"
API = "api"
IMPORTS = {
    BARE: "langgraph.graph",
    "langgraph.graph and psycopg": "langgraph.graph, psycopg",
    "step, the handler alone": "functions.step.handler",
    READY: f"functions.step.handler, {ENGINE}, tests.benchmarks.project.workloads",
    API: "functions.api.handler",
    "sweep": "functions.sweep.handler",
    "migrate": "functions.migrate.handler",
}
PROGRAM = """
import time
at = time.perf_counter()
import {modules}
took = time.perf_counter() - at
import json, sys
status = open("/proc/self/status").read()
peak = int(status.partition("VmHWM:")[2].split()[0])
heavy = [name for name in ("langgraph.pregel", "anthropic", "boto3") if name in sys.modules]
print(json.dumps([[took, peak / 1024, len(sys.modules)], heavy]))
"""


async def measure(bench: Bench) -> Result:
    found: dict[str, list[list[float]]] = {name: [] for name in IMPORTS}
    heavy: dict[str, str] = {}
    for number in range(1 + bench.rounds(7, quick=3)):
        for name, modules in IMPORTS.items():
            figures, heavy[name] = await _import(modules)
            if number:  # the first round writes the bytecode
                found[name].append(figures)
    return _result(found, heavy)


async def _import(modules: str) -> tuple[list[float], str]:
    """Seconds, MB and modules; which heavy packages came along."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM.format(modules=modules)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_env(**baton_env("postgresql://127.0.0.1:1/none")),
        cwd=ROOT,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise BenchmarkFailed(f"import {modules}: {err.decode()[-500:]}")
    figures, heavy = json.loads(out)
    return figures, ", ".join(heavy) or "none"


def _result(found: dict[str, list[list[float]]], heavy: dict[str, str]) -> Result:
    figures = {
        name: [middle(column) for column in map(list, zip(*rounds, strict=True))]
        for name, rounds in found.items()
    }
    bare = figures[BARE][0]
    rows = tuple(
        (name, seconds, ratio(seconds, bare), megabytes, modules, heavy[name])
        for name, (seconds, megabytes, modules) in figures.items()
    )
    columns = ("what", "seconds", "ratio to the first", "peak MB", "modules", "heavy ones")
    return Result(
        "imports",
        ABOUT,
        (Table("Medians", columns, rows),),
        (
            Goal("seconds, step function without a model call", figures[READY][0], 0.75),
            Goal("seconds, api function", figures[API][0], 0.45),
        ),
    )
