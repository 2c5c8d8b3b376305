"""A worker process as the stack sees it: invoked, timed and killed."""

import asyncio
import contextlib
import json
import signal
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.children import CannotStart, Child, Children, Program, python

START_TIME = 60.0  # seconds for imports; a busy machine needs some
LONGEST_ANSWER = 6 * 1024 * 1024  # bytes, as on Lambda


class InvocationFailed(Exception):
    """The handler raised, took too long, or took its process down."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a handler."""

    function: str
    event: Any
    timeout: float  # seconds
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What every worker of a stack is made of."""

    handlers: Mapping[str, str]  # function -> "module.handler"
    env: Mapping[str, str]
    cwd: Path


class Worker:
    """One worker process."""

    def __init__(
        self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.child = child
        self.pid = child.pid
        self.name = child.program.name
        self.invocation: Invocation | None = None  # what it is doing
        self._reader = reader
        self._writer = writer
        self._doomed = False

    @property
    def alive(self) -> bool:
        return self.child.alive and not self._doomed and not self._reader.at_eof()

    async def invoke(self, invocation: Invocation) -> Any:
        """The handler's answer; raises InvocationFailed."""
        self.invocation = invocation
        try:
            async with asyncio.timeout(invocation.timeout):
                said = await self._ask(invocation)
        except TimeoutError:
            self.kill()
            raise InvocationFailed(f"timed out after {invocation.timeout:g} s") from None
        except (OSError, ValueError) as error:
            self.kill()
            raise InvocationFailed(str(error)) from error
        finally:
            self.invocation = None
        if "error" in said:
            raise InvocationFailed("{type}: {message}".format(**said["error"]))
        return said["answer"]

    async def started(self) -> None:
        """Until its handlers are imported; raises CannotStart with the reason it gave."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(START_TIME):
                if await self._reader.readline():
                    return
        self.kill()
        how = await self.child.wait()
        await self.child.lines.ended.wait()
        said = next((line for line in reversed(self.child.lines.last) if line), "it said nothing")
        raise CannotStart(f"{self.name} does not start ({how}): {said}")

    def kill(self) -> None:
        """As Lambda ends an environment: without a word."""
        self._doomed = True
        self.child.signal(signal.SIGKILL)

    def close(self) -> None:
        self._writer.close()

    async def _ask(self, invocation: Invocation) -> dict[str, Any]:
        asked = {
            "function": invocation.function,
            "request_id": invocation.request_id,
            "deadline": time.time() + invocation.timeout,
            "event": invocation.event,
        }
        self._writer.write(json.dumps(asked, separators=(",", ":")).encode() + b"\n")
        await self._writer.drain()
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError(f"its process {self.pid} died")
        answer: dict[str, Any] = json.loads(line)
        return answer


async def start_worker(children: Children, spec: WorkerSpec, name: str) -> Worker:
    """A worker with its handlers imported; raises CannotStart."""
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as undo:
        undo.callback(ours.close)
        with theirs:
            fd = theirs.fileno()
            command = python("infra.local.worker", str(fd), json.dumps(dict(spec.handlers)))
            program = Program(name, command, spec.env, spec.cwd, fds=(fd,), stop=signal.SIGKILL)
            child = await children.start(program)
        reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_ANSWER)
        worker = Worker(child, reader, writer)
        undo.callback(worker.close)
        undo.callback(worker.kill)
        await worker.started()
        undo.pop_all()
    return worker
