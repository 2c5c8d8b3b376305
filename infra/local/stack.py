"""The local stack: every part of a deployment on loopback, held together by one process."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import boto3

from graph.adapters.migrations import migrate
from graph.adapters.registry import Registry
from graph.errors import AgentError, BadProject
from infra.local.api import HOST, api, listen
from infra.local.children import CannotStart, Children, Say
from infra.local.data_folder import held
from infra.local.environment import children_env, names_a_model, offline_model_env
from infra.local.event_source import EventSource, Pace
from infra.local.ledger import Ledger
from infra.local.memory_queue import MemoryQueue
from infra.local.messages import MessagesServer
from infra.local.pool import Pool
from infra.local.postgres import postgres
from infra.local.queue_socket import served
from infra.local.queues import Source
from infra.local.sqs_queue import SqsSource
from infra.local.sqs_server import Redrive, sqs_server
from infra.local.workers import Invocation, InvocationFailed, Worker, WorkerSpec, start_worker

HANDLERS = {"step": "functions.step.handler.handler", "sweep": "functions.sweep.handler.handler"}
CHECK = {"check": "infra.local.check.handler"}
CHECK_TIMEOUT = 120.0
MAX_RECEIVES = 10
LAST_STEPS = 2.0  # seconds for steps under way when the stack is told to stop


@dataclass(frozen=True, slots=True)
class Options:
    """What `baton dev` is told, and what tests change."""

    config: Path = Path("langgraph.json")
    port: int = 2024
    data: Path | None = None  # default .baton beside the project's file
    workers: int = 2
    queue: Literal["sqs", "memory"] = "sqs"
    pace: Pace = Pace()
    handlers: Mapping[str, str] = field(default_factory=lambda: dict(HANDLERS))
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    wrap: Callable[[Source], Source] = lambda source: source  # to lose and repeat messages


def silence(who: str, line: str) -> None:
    """Nobody listens to the children."""


class Stack:
    """Up while the `async with` block lasts; raises CannotStart when a part does not come up.

    `url`, `database_url` and `queue_url` are where the parts are, `workers` who does what.
    """

    def __init__(self, options: Options, *, say: Say = silence) -> None:
        self.options = options
        self.config = options.config.resolve()
        self.data = (options.data or self.config.parent / ".baton").resolve()
        self.say = say
        self.url = self.database_url = self.queue_url = ""
        self.offline_model_url: str | None = None
        self.migrated: list[str] = []
        self.graphs: list[str] = []
        self._env: dict[str, str] = {}

    @property
    def workers(self) -> list[Worker]:
        """Those that live, each with its pid and the invocation it is busy with."""
        return [worker for worker in self._pool.workers if worker.alive]

    async def serve(self) -> None:
        """Until it is cancelled; raises what broke the event source."""
        await asyncio.shield(self._ringing)
