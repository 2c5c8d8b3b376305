"""The servers that W1 is run on over HTTP: Baton, and others in environments of their own."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.benchmarks.bench import PROJECT, ROOT, Bench, BenchmarkFailed, clean_env
from tests.benchmarks.environments import environment

UP = 60.0  # seconds a server may take to answer
GONE = 10.0
BATON = "from infra.local.cli import main; main()"
NEWER = ">=3.12,<3.14"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server and how to start it; `durability` is what its runs are asked for."""

    name: str
    command: Callable[[Path, int], list[str]]  # (interpreter, port)
    requirements: tuple[str, ...] = ()  # none: it runs in Baton's environment
    env: dict[str, str] = field(default_factory=dict)
    durability: str | None = None
    ready: str = "/ok"


def _baton(python: Path, port: int) -> list[str]:
    told = ("--port", str(port), "--queue", "memory", "--workers", "2")
    return [str(python), "-P", "-c", BATON, "dev", *told]


def _uvicorn(app: str) -> Callable[[Path, int], list[str]]:
    def command(python: Path, port: int) -> list[str]:
        where = ("--host", "127.0.0.1", "--port", str(port))
        return [str(python), "-m", "uvicorn", app, *where, "--log-level", "warning"]

    return command


def _langgraph_dev(python: Path, port: int) -> list[str]:
    where = ("--host", "127.0.0.1", "--port", str(port))
    program = str(python.with_name("langgraph"))
    return [program, "dev", *where, "--no-browser", "--no-reload"]


AEGRA = Peer(
    "aegra, sync",
    _uvicorn("aegra_api.main:app"),
    ("aegra-api==0.11.0",),
    {
        "AEGRA_CONFIG": "langgraph.json",
        "AEGRA_CHECKPOINT_DURABILITY": "sync",
        "REDIS_BROKER_ENABLED": "false",
        "LOG_LEVEL": "WARNING",
    },
    ready="/health",
)
SKEINO = ("skeino[postgres]==4.0.0",)
SKEINO_APP = _uvicorn("tests.benchmarks.contestants.skeino_app:app")
QUIET = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}
DEV = ("langgraph-cli[inmem]", "langgraph-api==0.16.7")
PEERS = (
    Peer("baton", _baton),
    Peer("baton, 10 steps", _baton, env={"BATON_STEPS_PER_INVOCATION": "10"}),
    Peer("skeino, sync", SKEINO_APP, SKEINO, durability="sync", ready="/info"),
    Peer("skeino, exit", SKEINO_APP, SKEINO, durability="exit", ready="/info"),
    AEGRA,
    Peer("langgraph dev, in memory", _langgraph_dev, DEV, QUIET),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    pid: int
    url: str


@contextlib.asynccontextmanager
async def running(peer: Peer, bench: Bench) -> AsyncIterator[Running]:
    """Raises BenchmarkFailed with the reason when it cannot be installed or does not answer."""
    python = Path(sys.executable)
    if peer.requirements:
        name = peer.requirements[0].partition("=")[0].partition("[")[0]
        python = await asyncio.to_thread(environment, name, peer.requirements, python=NEWER)
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        os.chmod(folder, 0o755)
        home = Path(shutil.copytree(PROJECT.parent, Path(folder) / "project"))
        port, log = _free_port(), Path(folder) / "log"
        env = clean_env(DATABASE_URL=bench.database(), PYTHONPATH=str(ROOT), **peer.env)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *peer.command(python, port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=home,
                start_new_session=True,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            await _answers(process, f"{url}{peer.ready}", log)
            yield Running(process.pid, url)
        finally:
            await _stop(process)


async def _answers(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(UP), httpx.AsyncClient() as client:
            while process.returncode is None:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(url)).status_code == 200:
                        return
                await asyncio.sleep(0.1)
    said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in said if "Error" in line] or said or ["it said nothing"]
    raise BenchmarkFailed(f"did not start: {telling[-1][:200]}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), GONE)
    with contextlib.suppress(ProcessLookupError):  # what it left behind in its session
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
