"""The local stack: every part of a deployment, on loopback, held together by one process."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from graph.adapters.migrations import migrate
from graph.adapters.registry import Registry
from graph.errors import AgentError
from infra.local.api import HOST, api, listen
from infra.local.check import check_project
from infra.local.children import CannotStart, Children, Say
from infra.local.data_folder import held
from infra.local.doorbell import Doorbell, embedded_sqs, in_memory, somebody_elses
from infra.local.environment import children_env, names_a_model, offline_model_env
from infra.local.event_source import EventSource, Pace
from infra.local.gateway import gateway
from infra.local.ledger import Ledger
from infra.local.pool import Pool
from infra.local.postgres import postgres
from infra.local.queues import Redrive, Source
from infra.local.workers import Worker, WorkerSpec

if TYPE_CHECKING:
    from infra.local.messages import MessagesServer

HANDLERS = {"step": "functions.step.handler.handler", "sweep": "functions.sweep.handler.handler"}
NOTIFY = {"notify": "functions.notify.handler.handler"}
LOOPBACK = "127.0.0.0/8,::1/128"  # where webhooks may go besides the internet
NOTIFIERS = 2  # one may wait for a slow webhook
LAST_STEPS = 2.0  # seconds for steps under way when the stack is told to stop
TIMES_THE_TIMEOUT = 6  # visibility, as AWS advises


@dataclass(frozen=True, slots=True)
class Options:
    """What `baton dev` is told, and what tests change."""

    config: Path = Path("langgraph.json")
    port: int = 2024
    websocket_port: int | None = None  # default: the one after the API's
    data: Path | None = None  # default: .baton beside the project's file
    workers: int = 2
    queue: Literal["sqs", "memory"] = "sqs"
    pace: Pace = field(default_factory=Pace)
    handlers: Mapping[str, str] = field(default_factory=lambda: dict(HANDLERS))
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    offline_latency: float = 0.0  # seconds that an answer of the offline model takes
    wrap: Callable[[Source], Source] = lambda source: source  # to lose or repeat messages


def silence(who: str, line: str) -> None:
    """Hear the children out and tell nobody."""


class Stack:
    """Up while its `async with` block lasts; raises CannotStart when a part does not come up."""

    def __init__(self, options: Options, *, say: Say = silence) -> None:
        self.options = options
        self.config = options.config.resolve()
        self.data = (options.data or self.config.parent / ".baton").resolve()
        self.url = ""
        self.websocket_url = ""
        self.notices_url = ""
        self.database_url = ""
        self.queue_url = ""
        self.offline_model_url = ""  # empty when the environment names a real model
        self.graphs: list[str] = []
        self.left_behind: list[str] = []  # processes of a killed stack that were ended
        self._say = say

    @property
    def workers(self) -> list[Worker]:
        """Those that live, each with its pid and the invocation it is busy with."""
        return [worker for worker in self._pool.workers if worker.alive]

    async def serve(self) -> None:
        """Until it is cancelled; raises what broke the event source."""
        await asyncio.shield(self._ringing)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as parts:
            try:
                await self._start(parts)
            except CannotStart:
                raise
            except AgentError as error:
                raise CannotStart(str(error)) from error
            self._parts = parts.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ringing.cancel()
        await asyncio.gather(self._ringing, return_exceptions=True)
        try:
            await asyncio.gather(*(source.drain(seconds=LAST_STEPS) for source in self._events))
        finally:
            await self._parts.aclose()

    async def _start(self, parts: AsyncExitStack) -> None:
        Registry(self.config)
        folder = parts.enter_context(held(self.data))
        listening = parts.enter_context(listen(self.options.port))
        sockets = parts.enter_context(listen(self._websocket_port()))
        self.url = f"http://{HOST}:{listening.getsockname()[1]}"
        self.websocket_url = f"ws://{HOST}:{sockets.getsockname()[1]}"
        ledger = Ledger(folder / "processes.json")
        self.left_behind = ledger.end_leftovers()
        children = await parts.enter_async_context(Children(ledger, self._say))
        env = children_env(self.options.environ, self.config)
        home = self.config.parent
        self.graphs, self.database_url, doorbell, env = await together(
            check_project(self.config, children, WorkerSpec({}, env, home)),
            self._database(parts, children),
            parts.enter_async_context(self._doorbell(children, env)),
            self._with_model(parts, env),
        )
        self.queue_url, self.notices_url = doorbell.url, doorbell.notices_url
        env |= self._endpoints(doorbell)
        env.setdefault("BATON_WEBHOOK_NETWORKS", LOOPBACK)
        if "DATABASE_URL" not in self.options.environ:  # its own Postgres, with no proxy in between
            env["DATABASE_PREPARES"] = "true"
        self._pool = Pool(
            children, WorkerSpec(self.options.handlers, env, home), size=self.options.workers
        )
        # Of their own: a slow webhook must not keep a step waiting.
        notifiers = Pool(children, WorkerSpec(NOTIFY, env, home), size=NOTIFIERS, name="notifier")
        await together(
            parts.enter_async_context(api(listening, children, env | self._line(), home)),
            parts.enter_async_context(gateway(sockets, children, env, home)),
            parts.enter_async_context(self._pool),
            parts.enter_async_context(notifiers),
        )
        self._ring(self.options.wrap(doorbell.source), doorbell.notices, notifiers)

    def _endpoints(self, doorbell: Doorbell) -> dict[str, str]:
        return {
            **doorbell.env,
            "DATABASE_URL": self.database_url,
            "QUEUE_URL": doorbell.url,
            "NOTIFY_QUEUE_URL": doorbell.notices_url,
            "WEBSOCKET_URL": self.websocket_url.replace("ws://", "http://"),
        }

    def _websocket_port(self) -> int:
        if self.options.websocket_port is not None:
            return self.options.websocket_port
        return self.options.port + 1 if self.options.port else 0

    def _line(self) -> dict[str, str]:
        """Whose client is on the line, the API steps itself."""
        lease = min(self.options.pace.step_timeout, 900.0)
        line = {"BATON_LINE_SECONDS": "3600", "BATON_LINE_STEP_SECONDS": str(lease)}
        return {k: self.options.environ.get(k, v) for k, v in line.items()}

    def _ring(self, steps: Source, notices: Source, notifiers: Pool) -> None:
        pace, say = self.options.pace, self._say
        self._events = (
            EventSource(steps, self._pool, pace, say),
            EventSource(notices, notifiers, pace, say, function="notify"),
        )

        async def ring() -> None:
            await together(*(source.run(sweeps=n == 0) for n, source in enumerate(self._events)))

        self._ringing = asyncio.create_task(ring())

    async def _database(self, parts: AsyncExitStack, children: Children) -> str:
        """Where the migrated database is."""
        url = self.options.environ.get("DATABASE_URL", "")
        direct = url and self.options.environ.get("MIGRATION_DATABASE_URL", url)
        url = url or await parts.enter_async_context(postgres(self.data, children))
        index = Registry(self.config).store_config.index
        await migrate(direct or url, dims=index.dims if index else None)
        return url

    def _doorbell(
        self, children: Children, env: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Doorbell]:
        redrive = Redrive(visibility=TIMES_THE_TIMEOUT * self.options.pace.step_timeout)
        if url := self.options.environ.get("QUEUE_URL"):
            return somebody_elses(url, env, self.data, redrive)
        if self.options.queue == "memory":
            return in_memory(self.data, redrive)
        return embedded_sqs(children, env, redrive)

    async def _with_model(self, parts: AsyncExitStack, env: dict[str, str]) -> dict[str, str]:
        if names_a_model(env):
            return env
        module = await asyncio.to_thread(import_module, "infra.local.messages")  # loads LangGraph
        server: MessagesServer = await parts.enter_async_context(
            module.MessagesServer(latency=self.options.offline_latency)
        )
        self.offline_model_url = server.url
        return offline_model_env(env, self.offline_model_url)


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All results; when one fails, the others are called off before its error is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:  # cancelled, too: no task is left behind
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
