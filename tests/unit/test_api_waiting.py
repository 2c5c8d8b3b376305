"""The answer to who waits for a run: a line that is open at once, and tells which run it is."""

import asyncio
from typing import Any

import orjson
import pytest

from graph.errors import Unavailable
from graph.runtime.models import Run
from tests.fixtures.asgi import post
from tests.fixtures.service import Service, service, worker

PATIENCE = 30.0


class Client:
    """One request for a run's values, straight to the app, and what it is sent."""

    def __init__(self, of: Service, thread_id: str, **asked: Any) -> None:
        self.sent: list[Any] = []
        self.begun = asyncio.Event()
        self.leaves = asyncio.Event()
        self._body = orjson.dumps({"assistant_id": "steps", "input": {"log": []}, **asked})
        self._asked = False
        scope = post(f"/threads/{thread_id}/runs/wait")
        self.answered = asyncio.create_task(of.app(scope, self._receive, self._send))

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    async def _receive(self) -> Any:
        if self._asked:
            await self.leaves.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self.begun.set()


@pytest.fixture
def api() -> Service:
    return service()


async def only_run(of: Service, thread_id: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while not (runs := await of.call("GET", f"/threads/{thread_id}/runs")):
            await asyncio.sleep(0)
    (run,) = runs
    return dict(run)


async def test_a_client_is_told_at_once_which_run_it_waits_for(api: Service) -> None:
    thread_id = await api.thread()
    client = Client(api, thread_id)
    async with asyncio.timeout(PATIENCE):
        await client.begun.wait()
        run = await only_run(api, thread_id)
        headers, body = client.headers, client.body
        async with worker(api):
            await client.answered

    at = f"/threads/{thread_id}/runs/{run['run_id']}".encode()
    assert (headers[b"content-location"], headers[b"location"]) == (at, at + b"/join")
    assert body == b""
    assert client.body.strip() == b'{"log":["a","b","c"]}'


async def test_an_error_cuts_the_line_and_is_no_status_that_repeats_the_run(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(run_ids: Any) -> list[Run]:
        raise Unavailable("the database is gone")

    monkeypatch.setattr(api.rt.store, "runs_by_id", gone)
    client = Client(api, await api.thread())

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="already started") as cut:
            await client.answered

    assert isinstance(cut.value.__cause__, Unavailable)
    assert (client.sent[0]["status"], client.body) == (200, b"")
    assert b"location" in client.headers


async def test_a_client_that_leaves_ends_a_run_that_goes_with_it(api: Service) -> None:
    thread_id = await api.thread()
    client = Client(api, thread_id, on_disconnect="cancel")
    await only_run(api, thread_id)

    client.leaves.set()
    async with asyncio.timeout(PATIENCE):
        await client.answered

    assert (await only_run(api, thread_id))["status"] == "interrupted"
