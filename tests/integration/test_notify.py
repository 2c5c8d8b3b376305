"""The local stack tells those outside: a WebSocket and a webhook, over both kinds of queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from websockets.asyncio.client import connect

from tests.integration.test_stack import ENVIRON, stack_on

PATIENCE = 30.0


class Receiver:
    """A web server on loopback that waits for a POST."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        self.got.put_nowait((head, json.loads(await reader.readexactly(length))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield made


async def said(line: Any) -> Any:
    return json.loads(await asyncio.wait_for(line.recv(), PATIENCE))


@pytest.mark.parametrize("queue", ["memory", "sqs"])
async def test_a_run_is_followed_over_a_websocket_and_told_to_its_webhook(
    open_folder: Path, queue: str, receiver: Receiver
) -> None:
    environ = {**ENVIRON, "BATON_WEBHOOK_SECRET": "secret"}
    async with (
        stack_on(open_folder, queue=queue, environ=environ) as stack,
        get_client(url=stack.url) as client,
        connect(stack.websocket_url) as line,
    ):
        thread_id = (await client.threads.create())["thread_id"]
        follow = {"thread_id": thread_id}
        await line.send(json.dumps({"id": 1, "method": "subscription.subscribe", "params": follow}))
        assert (await said(line))["type"] == "success"
        asked = {
            "assistant_id": "counter",
            "input": {"counted": [], "pids": []},
            "stream_mode": ["updates"],
            "webhook": receiver.url,
        }
        await line.send(json.dumps({"id": 2, "method": "run.start", "params": follow | asked}))
        frames: list[Any] = []
        run_id = ""
        while not frames or frames[-1]["method"] != "lifecycle":
            message = await said(line)
            run_id = run_id or message.get("result", {}).get("run_id", "")
            frames += message.get("frames", [])
        assert [frame["seq"] for frame in frames] == [1, 2, 3, 3]
        assert frames[-1]["params"]["data"]["event"] == "completed"

        head, body = await asyncio.wait_for(receiver.got.get(), PATIENCE)
        assert f"webhook-id: {run_id}" in head
        assert "webhook-signature: v1," in head
        assert (body["status"], body["values"]["counted"]) == ("success", [0, 2, 4])
        path = f"{stack.url}/threads/{thread_id}/runs/{run_id}/webhook"
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient() as http:
            while (await http.get(path)).json()["status"] != "delivered":
                await asyncio.sleep(0.02)
