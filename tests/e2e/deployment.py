"""The deployed chain on this machine: gateway, functions, queue, clock and database."""

import asyncio
import contextlib
import secrets
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import uvicorn
from langgraph_sdk import get_client
from psycopg import sql

from infra.local.children import Children, Say
from infra.local.environment import REGION
from infra.local.event_source import EventSource, Pace
from infra.local.ledger import Ledger
from infra.local.queues import Redrive
from infra.local.sqs_queue import SqsSource
from infra.local.sqs_server import sqs_server
from tests.e2e.emulator import TIMEOUTS, EmulatedPool, Functions
from tests.e2e.gateway import STAGE, Gateway
from tests.e2e.toolbox import Toolbox
from tests.fixtures.postgres import Server

PROJECT = Path(__file__).parents[1] / "fixtures" / "projects" / "legs"
MAX_RECEIVES = 2


@dataclass(frozen=True, slots=True)
class Around:
    """What a deployment stands on."""

    tools: Toolbox
    postgres: Server
    proxy: Server
    folder: Path


@dataclass(frozen=True, slots=True)
class Deployment:
    """A client, and what it talks to."""

    sdk: Any  # the client's types are narrower than what it sends
    url: str
    key: str
    direct_url: str
    queue: SqsSource
    functions: Functions
    migrated: list[str]

    async def thread(self) -> str:
        return str((await self.sdk.threads.create())["thread_id"])


def tell(who: str, line: str) -> None:
    """pytest shows it when a test fails."""
    print(f"{who}: {line}")


@contextlib.asynccontextmanager
async def deployment(
    around: Around, *, say: Say = tell, steps: int = 2, pace: Pace | None = None, **env: str
) -> AsyncIterator[Deployment]:
    """Migrated by the migrate function; with `steps=0` nobody receives from the queue."""
    async with contextlib.AsyncExitStack() as parts:
        ledger = Ledger(around.folder / "processes.json")
        children = await parts.enter_async_context(Children(ledger, say))
        name = parts.enter_context(empty_database(around.postgres))
        direct = around.postgres.url(name)
        here = {
            "PATH": "/usr/bin:/bin",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        redrive = Redrive(6 * TIMEOUTS["step"], MAX_RECEIVES)
        queue, endpoint = await parts.enter_async_context(sqs_server(children, here, redrive))
        here |= {
            "DATABASE_URL": around.proxy.url(name),
            "MIGRATION_DATABASE_URL": direct,
            "QUEUE_URL": queue.url,
            "AWS_ENDPOINT_URL_SQS": endpoint,
            "BATON_CONFIG": str(PROJECT / "langgraph.json"),
            **env,
        }
        http = await parts.enter_async_context(httpx.AsyncClient(timeout=None))
        functions = Functions(children, around.tools, http, here)
        migrated = (await (await functions.start("migrate")).invoke({}))["applied"]
        if steps:
            sweep = await functions.start("sweep")
            pool = await parts.enter_async_context(EmulatedPool(functions, sweep, size=steps))
            source = EventSource(queue, pool, pace or Pace(), say)
            await parts.enter_async_context(_ringing(source))
        key = secrets.token_hex(8)
        gateway = Gateway([await functions.start("api") for _ in range(2)], key)
        url = await parts.enter_async_context(_served(gateway))
        sdk = await parts.enter_async_context(get_client(url=url, api_key=key))
        yield Deployment(sdk, url, key, direct, queue, functions, migrated)


@contextlib.contextmanager
def empty_database(server: Server) -> Iterator[str]:
    """A new database's name; gone after the block."""
    name = f"e2e_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.asynccontextmanager
async def _ringing(source: EventSource) -> AsyncIterator[None]:
    ringing = asyncio.create_task(source.run())
    try:
        yield
    finally:
        ringing.cancel()
        await asyncio.gather(ringing, return_exceptions=True)
        await source.drain(seconds=2)


@contextlib.asynccontextmanager
async def _served(app: Any) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/{STAGE}"
        finally:
            server.should_exit = True
            await serving
