"""The doorbell of the local stack: its memory queue, over a Unix socket.

A line of JSON {"body", "group", "delay"} is answered by a line {"message_id"} once it is queued.
"""

import asyncio
import json
import socket
from pathlib import Path

from graph.errors import Unavailable
from graph.runtime.jobs import encode
from graph.runtime.models import StepJob

PATIENCE = 5.0  # seconds for one answer
LONGEST_ANSWER = 4096


class SocketQueue:
    """A `Queue` that keeps one connection for the process, whichever event loop runs."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._socket: socket.socket | None = None
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    async def send(self, job: StepJob, *, owner: str, delay: float = 0.0) -> None:
        await self.post(encode(job), owner=owner, delay=delay)

    async def post(self, body: str, *, owner: str, delay: float = 0.0) -> None:
        """Send any message."""
        message = {"body": body, "group": owner, "delay": delay}
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        async with self._lock():
            try:
                await self._deliver(line)
            except OSError as error:
                why = str(error) or f"silent for {PATIENCE:g} s"
                raise Unavailable(f"the local queue {self.path} did not answer: {why}") from error

    def close(self) -> None:
        """Drop the connection; the next send opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _deliver(self, line: bytes) -> None:
        """Send once more over a new connection when the old one broke: it may ring twice."""
        if self._socket is not None:
            try:
                return await self._exchange(line)
            except ConnectionError:
                pass
        return await self._exchange(line)

    async def _exchange(self, line: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                connection = self._socket or await self._connect(loop)
                await loop.sock_sendall(connection, line)
                answer = b""
                while not answer.endswith(b"\n"):
                    part = await loop.sock_recv(connection, LONGEST_ANSWER)
                    if not part:
                        raise ConnectionResetError("it hung up")
                    answer += part
        except BaseException:  # cancelled, too: a late answer must not be taken for the next job's
            self.close()
            raise
        if "message_id" not in (said := json.loads(answer)):
            raise Unavailable(f"the local queue {self.path} refused a job: {said}")

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        await loop.sock_connect(self._socket, self.path)
        return self._socket

    def _lock(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            self._turn = (loop, asyncio.Lock())
        return self._turn[1]
