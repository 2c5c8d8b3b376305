"""A contestant as the benchmark sees it: a process that does what it is asked, and what it cost."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.bench import PROJECT, ROOT, BenchmarkFailed, clean_env
from tests.benchmarks.environments import environment, same_versions

LONGEST_LINE = 1 << 20
PATIENCE = 300.0  # seconds for one verb
SHARED = ("langgraph", "langgraph-checkpoint", "langchain-core", "psycopg[binary]")
DBOS = ("dbos==3.4.0",)
STOCK = ("langgraph-checkpoint-postgres==3.2.0", "psycopg-pool==3.3.1")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a verb answered, and the wall clock and CPU seconds it took."""

    answer: Any
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running contestant."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def do(self, verb: str, **arguments: Any) -> Cost:
        """Raises BenchmarkFailed with the end of what it wrote."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
        said = await self.heard()
        return Cost(said["answer"], said["seconds"], said["cpu"])

    async def heard(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        if not line:
            raise BenchmarkFailed(f"{self.name}: {self.log.read_text()[-2000:]}")
        return json.loads(line)


@contextlib.asynccontextmanager
async def contestant(
    name: str, command: list[str], env: Mapping[str, str]
) -> AsyncIterator[Contestant]:
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(env),
                cwd=ROOT,
                limit=LONGEST_LINE,
            )
        try:
            one = Contestant(name, process, log)
            await one.heard()
            yield one
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def stock(url: str) -> AsyncIterator[Contestant]:
    """LangGraph with AsyncPostgresSaver on an empty database."""
    python = environment("stock", [*same_versions(*SHARED), *STOCK])
    command = [str(python), "-m", "tests.benchmarks.contestants.stock", url]
    async with contestant("stock", command, clean_env()) as one:
        await one.do("setup")
        yield one


@contextlib.asynccontextmanager
async def dbos(url: str) -> AsyncIterator[Contestant]:
    """Durable workflows without LangGraph's loop, on an empty database."""
    python = environment("dbos", [*DBOS, *same_versions("langgraph")])
    command = [str(python), "-m", "tests.benchmarks.contestants.dbos_app", url]
    async with contestant("dbos", command, clean_env()) as one:
        await one.do("setup")
        yield one


@contextlib.asynccontextmanager
async def baton(url: str, **settings: str) -> AsyncIterator[Contestant]:
    """Baton's step function on an empty database, with settings of its own."""
    env = clean_env(**baton_env(url), **settings)
    command = [sys.executable, "-m", "tests.benchmarks.contestants.baton"]
    async with contestant("baton", command, env) as one:
        await one.do("setup")
        yield one


def baton_env(url: str) -> dict[str, str]:
    """What Baton's functions find in their environment."""
    nowhere = os.path.join(tempfile.gettempdir(), "baton-bench-no-queue")
    return {"DATABASE_URL": url, "QUEUE_URL": f"unix://{nowhere}", "BATON_CONFIG": str(PROJECT)}
