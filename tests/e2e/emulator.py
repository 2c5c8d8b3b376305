"""Functions under Lambda's own runtime client and Runtime Interface Emulator."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from infra.local.children import Child, Children, Program
from infra.local.pool import Pool
from infra.local.workers import Invocation, InvocationFailed, Worker, WorkerSpec
from tests.e2e.toolbox import Toolbox

INVOKE = "/2015-03-31/functions/function/invocations"
TIMEOUTS = {"api": 29, "step": 60, "sweep": 55, "migrate": 900}
PATIENCE = 30.0


class Emulator:
    """One environment of one function. Nothing is imported before the first invocation."""

    def __init__(self, child: Child, http: httpx.AsyncClient, url: str) -> None:
        self.child = child
        self._http, self._url = http, url
        self._one_at_a_time = asyncio.Lock()  # three at once crash the emulator

    async def invoke(self, event: Any) -> Any:
        """The handler's answer; raises InvocationFailed."""
        try:
            async with self._one_at_a_time:
                said = await self._http.post(self._url, content=json.dumps(event))
        except httpx.HTTPError as error:
            raise InvocationFailed(f"{type(error).__name__}: {error}") from error
        try:
            answer = said.json() if said.content else None
        except ValueError:  # "Task timed out", as a text
            raise InvocationFailed(said.text) from None
        if isinstance(answer, dict) and {"errorType", "errorMessage"} <= answer.keys():
            raise InvocationFailed("{errorType}: {errorMessage}".format(**answer))
        return answer


@dataclass(frozen=True, slots=True)
class Functions:
    """Starts environments of the bundle's functions."""

    children: Children
    tools: Toolbox
    http: httpx.AsyncClient
    env: Mapping[str, str]

    async def start(self, function: str, *, handler: str = "", **env: str) -> Emulator:
        """A new environment; `handler` runs another than the function's own."""
        ours, theirs = free_address(), free_address()
        where = ("--runtime-interface-emulator-address", ours, "--runtime-api-address", theirs)
        handler = handler or f"functions/{function}/handler.handler"
        runtime = (str(self.tools.python), "-m", "awslambdaric", handler)
        command = (str(self.tools.emulator), *where, *runtime)
        timeout = TIMEOUTS[function]
        told = {
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "PYTHONDONTWRITEBYTECODE": "1",  # a function's code is read-only
        }
        program = Program(function, command, {**self.env, **told, **env}, self.tools.bundle)
        child = await self.children.start(program)
        await _listening(ours)
        return Emulator(child, self.http, f"http://{ours}{INVOKE}")


class EmulatedWorker(Worker):
    """A worker of the local event source whose steps run in an environment of their own."""

    def __init__(self, name: str, step: Emulator, sweep: Emulator) -> None:
        self.child, self.pid, self.name = step.child, step.child.pid, name
        self.invocation: Invocation | None = None
        self._doomed = False
        self._functions = {"step": step, "sweep": sweep}

    @property
    def alive(self) -> bool:
        return self.child.alive and not self._doomed

    async def invoke(self, invocation: Invocation) -> Any:
        self.invocation = invocation
        try:
            return await self._functions[invocation.function].invoke(invocation.event)
        finally:
            self.invocation = None

    def kill(self) -> None:
        """The emulator ends its runtime, which leads a process group of its own."""
        self._doomed = True
        self.child.signal(signal.SIGTERM)

    def close(self) -> None:
        """Nothing is held beside the process."""


class EmulatedPool(Pool):
    """Environments of the step function, and one of the sweep that they share."""

    def __init__(self, functions: Functions, sweep: Emulator, *, size: int) -> None:
        spec = WorkerSpec({}, functions.env, functions.tools.bundle)
        super().__init__(functions.children, spec, size=size)
        self._functions, self._sweep = functions, sweep

    async def _start(self, name: str) -> Worker:
        return EmulatedWorker(name, await self._functions.start("step"), self._sweep)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def _listening(address: str) -> None:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                return
            await asyncio.sleep(0.01)
