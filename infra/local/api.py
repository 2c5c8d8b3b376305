"""The API on uvicorn: a process of its own on a socket that the stack holds.

The socket outlives the process: while it is started again, requests wait instead of failing.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import uvicorn

from infra.local.children import CannotStart, Children, Program, python
from infra.local.kept import Server, kept

HOST = "127.0.0.1"
APP = "functions.api.app:app"
PAUSE = 0.1


def listen(port: int) -> socket.socket:
    """The API's socket; raises CannotStart when the port is taken."""
    try:
        return socket.create_server((HOST, port), backlog=512)
    except OSError as error:
        raise CannotStart(
            f"port {port} cannot be used ({error.strerror}): stop what listens there, "
            "or name another with --port"
        ) from error


@contextlib.asynccontextmanager
async def api(
    listening: socket.socket, children: Children, env: Mapping[str, str], cwd: Path
) -> AsyncIterator[None]:
    """The API answers on the socket."""
    fd = listening.fileno()
    port = listening.getsockname()[1]
    program = Program("api", python("infra.local.api", str(fd)), env, cwd, fds=(fd,))

    async def ready() -> None:
        while not await answers_ok(port):
            await asyncio.sleep(PAUSE)

    async with kept(Server(program, ready), children):
        yield


async def answers_ok(port: int) -> bool:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(b"GET /ok HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    except ConnectionError:  # it died with our request in hand
        return False
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def main() -> None:
    """The server itself; serves on the socket whose number it is given."""
    from functions import cold_start  # as Lambda's handlers do

    listening = socket.socket(fileno=int(sys.argv[1]))
    listening.set_inheritable(False)
    config = uvicorn.Config(APP, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    config.load()
    cold_start.imported()
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
