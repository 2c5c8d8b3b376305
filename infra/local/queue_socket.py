"""The memory queue's door: a Unix socket on which graph.adapters.socket_queue sends."""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from infra.local.memory_queue import MemoryQueue

LONGEST_PATH = 100  # bytes; Linux has room for 107, macOS for 103


@contextlib.asynccontextmanager
async def served(queue: MemoryQueue, folder: Path, name: str = "queue") -> AsyncIterator[Path]:
    """The path of a socket that only this user may connect to."""
    clients: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        try:
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    writer.write(json.dumps(_put(queue, line)).encode() + b"\n")
                    await writer.drain()
        finally:  # also when the loop ends before it was seen below
            clients.discard(writer)
            writer.close()

    with _place(folder, name) as path:
        # Not serving at once: a start that is cancelled there would leave the socket open.
        server = await asyncio.start_unix_server(serve, path, start_serving=False)
        try:
            path.chmod(0o600)
            await server.start_serving()
            yield path
        finally:
            server.close()
            for client in list(clients):
                client.close()
                with contextlib.suppress(ConnectionError):
                    await client.wait_closed()
            await server.wait_closed()


@contextlib.contextmanager
def _place(folder: Path, name: str) -> Iterator[Path]:
    """In the folder, or in a temporary one when that would be too long for a socket's path."""
    with contextlib.ExitStack() as temporary:
        if len(os.fsencode(folder / name)) > LONGEST_PATH:
            made = tempfile.TemporaryDirectory(prefix="baton-", ignore_cleanup_errors=True)
            folder = Path(temporary.enter_context(made))
        path = folder / name
        path.unlink(missing_ok=True)  # a killed stack's
        yield path
        path.unlink(missing_ok=True)


def _put(queue: MemoryQueue, line: bytes) -> dict[str, str]:
    try:
        asked = json.loads(line)
        body, group, delay = str(asked["body"]), asked["group"], float(asked["delay"])
    except (ValueError, KeyError, TypeError) as error:
        return {"error": f"not a message: {error!r}"}
    return {"message_id": queue.put(body, group=group, delay=min(max(delay, 0.0), 900.0))}
