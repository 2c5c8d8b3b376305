"""The processes of a stack: started through launch.py, heard, and never left behind."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from graph.errors import AgentError
from infra.local.ledger import Ledger

LAUNCHER = Path(__file__).with_name("launch.py")
ROOT = Path(__file__).parents[2]
LONGEST_LINE = 65536
FULL = 65536  # bytes, of a pipe: who writes that much is not kept waiting
BREATH = 0.02  # seconds between two looks at what a process writes: it may be a line a step
LAST_WORDS = 0.5  # seconds to read what a dead process wrote

Say = Callable[[str, str], None]  # (who, line)


class CannotStart(AgentError):
    """The stack, or a part of it, does not come up; the message is all a user needs."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    fds: tuple[int, ...] = ()  # handed down
    user: str | None = None
    stop: int = signal.SIGTERM  # ends it well
    orphaned: int = signal.SIGKILL  # ends it when the stack's process has died


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of Baton's, whatever lies in the working directory."""
    return (sys.executable, "-P", "-m", module, *arguments)


def python_env(env: Mapping[str, str]) -> dict[str, str]:
    """The environment in which `python` finds Baton and is heard at once."""
    path = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
    return {**env, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


class Child:
    """A running process, the leader of a session of its own."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, say: Say) -> None:
        self.program = program
        self.pid = process.pid
        self._process = process
        self.lines = Lines(program.name, say)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> str:
        """Until it has ended; how it did."""
        code = await self._process.wait()
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name

    def signal(self, number: int) -> None:
        """To it alone; SIGKILL to what it started, too, for nothing else would end that."""
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self.pid, number)
            elif self.alive:
                os.kill(self.pid, number)

    async def stop(self, *, grace: float = 2.0) -> None:
        """Ask, then force."""
        self.signal(self.program.stop)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), grace)
        self.signal(signal.SIGKILL)
        await self._process.wait()


class Lines(asyncio.Protocol):
    """What a process writes, line by line; `last` keeps the end of it."""

    def __init__(self, name: str, say: Say) -> None:
        self.last: deque[str] = deque(maxlen=20)
        self.ended = asyncio.Event()
        self._name = name
        self._say = say
        self._rest = b""
        self._pipe: asyncio.ReadTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.ReadTransport)
        self._pipe = transport

    def data_received(self, data: bytes) -> None:
        if len(data) < FULL:
            self._pipe.pause_reading()
            asyncio.get_running_loop().call_later(BREATH, self._pipe.resume_reading)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._heard(line)

    def connection_lost(self, _: Exception | None) -> None:
        if self._rest:
            self._heard(self._rest)
        self.ended.set()

    def _heard(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.last.append(text)
        self._say(self._name, text)


@dataclass(slots=True)
class Children:
    """Starts processes, keeps the ledger, and ends them all when it is left."""

    ledger: Ledger
    say: Say
    _watchers: dict[Child, "asyncio.Task[None]"] = field(default_factory=dict)

    async def start(self, program: Program, *, say: Say | None = None) -> Child:
        """Raises CannotStart when there is nothing to run."""
        launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()))
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(*launcher, str(int(program.orphaned)), program.user or "-", *program.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                env=dict(program.env),
                cwd=program.cwd,
                pass_fds=program.fds,
                start_new_session=True,  # a terminal's Ctrl-C is for the stack to deal with
            )
        except OSError as error:
            os.close(read)
            raise CannotStart(f"{program.name} does not start: {error}") from error
        finally:
            os.close(write)
        child = Child(program, process, say or self.say)
        self.ledger.add(child.pid, program.name, program.orphaned)
        self._watchers[child] = asyncio.create_task(self._watch(child, read))
        return child

    async def _watch(self, child: Child, output: int) -> None:
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(output, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: child.lines, pipe)
        await child.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.lines.ended.wait(), LAST_WORDS)
        transport.close()
        self.ledger.remove(child.pid)
        self._watchers.pop(child, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        watchers = dict(self._watchers)
        await asyncio.gather(*(child.stop() for child in watchers))
        await asyncio.gather(*watchers.values())
