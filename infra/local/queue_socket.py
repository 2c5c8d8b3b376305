"""The memory queue's door: a Unix socket on which graph.adapters.socket_queue sends."""

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from infra.local.memory_queue import MemoryQueue


@contextlib.asynccontextmanager
async def served(queue: MemoryQueue) -> AsyncIterator[Path]:
    """The path of the socket, in a folder that only this user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="baton-"))  # short: a socket's path has 107 bytes
    clients: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(json.dumps(_put(queue, line)).encode() + b"\n")
                await writer.drain()
        clients.discard(writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "queue")
    try:
        yield folder / "queue"
    finally:
        server.close()
        for client in list(clients):
            client.close()
        await server.wait_closed()
        shutil.rmtree(folder, ignore_errors=True)


def _put(queue: MemoryQueue, line: bytes) -> dict[str, str]:
    try:
        asked = json.loads(line)
        body, group, delay = str(asked["body"]), asked["group"], float(asked["delay"])
    except (ValueError, KeyError, TypeError) as error:
        return {"error": f"not a message: {error!r}"}
    return {"message_id": queue.put(body, group=group, delay=min(max(delay, 0.0), 900.0))}
