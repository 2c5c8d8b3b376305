"""WebSockets with every part real: sockets, the gateway's API by boto3, Postgres, the functions."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.exceptions import ClientError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from functions.api.answers import run_json
from functions.api.edge import Edge
from functions.notify.handler import notify
from functions.websocket.commands import Desk
from functions.websocket.handler import serve
from graph.adapters.connections import ApiGatewayConnections
from graph.adapters.postgres import PostgresStore
from graph.runtime.engine import Runtime
from graph.runtime.follow import Follower
from graph.runtime.listening import Listener
from graph.runtime.models import Ending, Event, Notice, StepJob, StepResult, Topic
from graph.runtime.runs import new_thread
from graph.runtime.webhooks import Mail
from infra.local.gateway import LONGEST, Gateway
from tests.contracts.builders import OWNER as ALICE
from tests.contracts.builders import a_run, take
from tests.fixtures.driver import Loaded
from tests.fixtures.service import RingingQueue
from tests.unit.test_webhooks import COUNTS, Receiver

PATIENCE = 30.0
EVERYBODY = "default"


class Ringing:
    """`Notices` that are waited for."""

    def __init__(self) -> None:
        self.rung: asyncio.Queue[Notice] = asyncio.Queue()

    async def send(self, notice: Notice, *, owner: str, delay: float = 0.0) -> None:
        self.rung.put_nowait(notice)


class House:
    """The gateway on a real socket, both functions, and a store each on its own connection."""

    def __init__(self, database_url: str) -> None:
        self.notices = Ringing()
        self.stores = [PostgresStore(database_url) for _ in range(3)]
        self.steps, asked, self.told = self.stores
        self.rt = self._runtime(asked)
        edge = Edge(self.rt, Follower(asked), Listener(asked))
        desk = Desk(edge)
        self.app = Gateway(lambda event: serve(event, desk))
        self.url = ""

    def _runtime(self, store: PostgresStore) -> Runtime:
        return Runtime(store, RingingQueue(), Loaded({"graph": COUNTS}), notices=self.notices)

    async def notify_as_it_rings(self) -> None:
        """What the notify function does, an invocation at a time for each of two environments."""
        rt = self._runtime(self.told)
        way = ApiGatewayConnections(self.url.replace("ws://", "http://"))
        mail = Mail(Receiver(), describe=run_json)
        try:
            while True:
                await notify(await self.notices.rung.get(), rt, mail, way)
        finally:
            await way.close()

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        app: Any = self.app
        config = uvicorn.Config(app, log_level="error", ws="websockets-sansio", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        notifying = [asyncio.create_task(self.notify_as_it_rings()) for _ in range(2)]
        try:
            yield
        finally:
            for task in notifying:
                task.cancel()
            await asyncio.gather(*notifying, return_exceptions=True)
            server.should_exit = True
            await serving
            for store in self.stores:
                await store.close()

    async def thread(self, owner: str = EVERYBODY) -> str:
        thread = new_thread(a_run("").run_id, owner)
        return (await self.steps.create_thread(thread, if_exists="raise")).thread_id

    async def step(self, job: StepJob, *told: int, ending: Ending = Ending.MORE) -> None:
        """Take a step that tells numbers."""
        claim = await take(self.steps, job)
        events = tuple(Event("custom", b"%d" % n) for n in told)
        advanced = await self.steps.advance(claim, StepResult(ending, events=events))
        if advanced.watched:
            self.notices.rung.put_nowait(Notice(Topic.THREAD, job.thread_id))


@pytest.fixture
async def house(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    made = House(database_url)
    async with made.up():
        yield made


async def ask(line: ClientConnection, method: str, **params: Any) -> Any:
    await line.send(json.dumps({"id": 1, "method": method, "params": params}))
    answer = json.loads(await asyncio.wait_for(line.recv(), PATIENCE))
    assert answer["type"] == "success", answer
    return answer["result"]


async def hear(line: ClientConnection, number: int) -> list[int]:
    """Numbers of events until there are so many; one that is pushed again counts once."""
    heard: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(set(heard)) < number:
            heard += [frame["seq"] for frame in json.loads(await line.recv())["frames"]]
    return heard


async def test_what_boto3_asks_of_connections_is_done(house: House) -> None:
    client = boto3.client(
        "apigatewaymanagementapi", endpoint_url=house.url.replace("ws://", "http://")
    )
    async with connect(house.url) as line:
        assert await ask(line, "ping") == {"pong": True}
        (name,) = house.app.connections
        told = await asyncio.to_thread(client.get_connection, ConnectionId=name)
        assert told["Identity"]["SourceIp"] == "127.0.0.1"
        await asyncio.to_thread(client.post_to_connection, ConnectionId=name, Data=b"hello")
        assert await line.recv() == "hello"
        with pytest.raises(ClientError, match="too large"):
            await asyncio.to_thread(
                client.post_to_connection, ConnectionId=name, Data=b"x" * (LONGEST + 1)
            )
        await asyncio.to_thread(client.delete_connection, ConnectionId=name)
        with pytest.raises(ConnectionClosed):
            await line.recv()
    with pytest.raises(client.exceptions.GoneException):
        await asyncio.to_thread(client.post_to_connection, ConnectionId=name, Data=b"hello")


async def test_a_message_longer_than_the_gateway_takes_ends_the_connection(house: House) -> None:
    async with connect(house.url) as line:
        await line.send("x" * (LONGEST + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await line.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_who_is_refused_never_connects(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(event: Any) -> Any:
        return {"statusCode": 401}

    monkeypatch.setattr(house.app, "_invoke", refuses)
    with pytest.raises(InvalidStatus):
        async with connect(house.url):
            pass
    assert house.app.connections == {}


async def test_events_come_as_they_are_told_and_a_client_that_comes_back_goes_on(
    house: House,
) -> None:
    thread_id = await house.thread()
    run = await house.steps.create_run(a_run(thread_id, owner=EVERYBODY))
    assert run.job is not None
    async with connect(house.url) as line:
        await ask(line, "subscription.subscribe", thread_id=thread_id)
        await house.step(run.job, 1, 2)
        assert await hear(line, 2) == [1, 2]
    await house.step(StepJob(thread_id, 1), 3)
    async with connect(house.url) as line:
        assert (await ask(line, "subscription.subscribe", thread_id=thread_id, since=2))[
            "after"
        ] == 2
        await house.step(StepJob(thread_id, 2), 4, ending=Ending.DONE)
        assert await hear(line, 2) == [3, 4, 4]  # the last is the end of the run
    async with asyncio.timeout(PATIENCE):
        while house.app.connections:
            await asyncio.sleep(0.01)


async def test_a_stranger_s_thread_is_not_there(house: House) -> None:
    thread_id = await house.thread(ALICE)
    async with connect(house.url) as line:
        asked = {"method": "subscription.subscribe", "params": {"thread_id": thread_id}}
        await line.send(json.dumps({"id": 1, **asked}))
        assert json.loads(await line.recv())["error"] == "not_found"
