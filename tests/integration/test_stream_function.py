"""What Lambda Web Adapter starts, with the environment that the template gives it."""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client

from infra.build.bundle import copy_sources
from infra.local.memory_queue import MemoryQueue
from infra.local.queue_socket import served
from infra.local.queues import Redrive
from tests.fixtures.daemon import daemon
from tests.unit.test_template import FUNCTIONS, ROOT, TEMPLATE

COUNTER = Path(__file__).parents[1] / "fixtures" / "projects" / "counter" / "langgraph.json"
NOTHING: dict[str, Any] = {"counted": [], "pids": []}


@dataclass(frozen=True, slots=True)
class Started:
    """The running program."""

    url: str
    pid: int

    def sdk(self, **headers: str) -> Any:
        return get_client(url=self.url, headers=headers)


def of_the_template(timeout: str) -> dict[str, str]:
    """The stream function's own variables, as CloudFormation fills them in."""
    given = FUNCTIONS["StreamFunction"]["Environment"]["Variables"]
    times = TEMPLATE["Mappings"]["StreamTimeout"][timeout]
    return {
        name: str(times[value["Fn::FindInMap"][2]] if isinstance(value, dict) else value)
        for name, value in given.items()
    }


@contextlib.asynccontextmanager
async def stream_function(folder: Path, database_url: str, **env: str) -> AsyncIterator[Started]:
    """Started in a copy of the bundle's own code; nobody else takes steps."""
    root = folder / "task"
    root.mkdir()
    copy_sources(ROOT, root)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with served(MemoryQueue(Redrive(30, 2)), folder) as queue:
        environment = {
            **of_the_template("60"),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "LAMBDA_TASK_ROOT": str(root),
            "DATABASE_URL": database_url,
            "QUEUE_URL": f"unix://{queue}",
            "BATON_CONFIG": str(COUNTER),
            "AWS_LWA_PORT": str(port),
            **env,
        }
        words = [f"{name}={value}" for name, value in environment.items()]
        program = root / FUNCTIONS["StreamFunction"]["Handler"]
        with daemon(
            ["/usr/bin/env", "-i", *words, program], user=None, cwd=folder, stop=signal.SIGTERM
        ) as running:
            ready = f"http://127.0.0.1:{port}{environment['AWS_LWA_READINESS_CHECK_PATH']}"
            running.until(lambda: answers(ready))
            yield Started(f"http://127.0.0.1:{port}", running.process.pid)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200
    return False


def context(subject: str) -> dict[str, str]:
    """What the adapter adds to a request that an authorizer let in."""
    said = {"requestId": "r-1", "authorizer": {"claims": {"sub": subject}}}
    return {"x-amzn-request-context": json.dumps(said)}


async def test_it_streams_a_run_and_steps_it_itself(open_folder: Path, database_url: str) -> None:
    async with stream_function(open_folder, database_url) as function, function.sdk() as sdk:
        thread_id = (await sdk.threads.create())["thread_id"]
        asked = sdk.runs.stream(thread_id, "counter", input=NOTHING, stream_mode="values")
        parts = [part async for part in asked]
        state = await sdk.threads.get_state(thread_id)

    assert parts[0].event == "metadata"
    assert [part.data["counted"] for part in parts if part.event == "values"][-1] == [0, 2, 4]
    assert state["values"] == {"counted": [0, 2, 4], "pids": [function.pid] * 3}


async def test_a_line_says_where_to_go_on_and_the_path_is_served(
    open_folder: Path, database_url: str
) -> None:
    async with (
        stream_function(open_folder, database_url) as function,
        httpx.AsyncClient(base_url=function.url) as http,
    ):
        asked = {"assistant_id": "counter", "input": NOTHING}
        answer = await http.post("/runs/stream", json=asked, timeout=30)
        location = answer.headers["location"]
        again = await http.get(location, timeout=30)
        question = await http.get(location.removesuffix("/stream"))

    assert location.startswith("/line/threads/")
    assert b"event: end" in answer.content
    assert again.status_code == 200
    assert question.json()["status"] == "running"


async def test_it_goes_on_after_it_was_frozen_between_two_requests(
    open_folder: Path, database_url: str
) -> None:
    async with (
        stream_function(open_folder, database_url) as function,
        httpx.AsyncClient(base_url=function.url) as adapter,
    ):
        asked = {"assistant_id": "counter", "input": NOTHING}
        for _ in range(3):
            answer = await adapter.post("/runs/stream", json=asked, timeout=30)
            assert b"event: end" in answer.content
            os.kill(function.pid, signal.SIGSTOP)
            os.kill(function.pid, signal.SIGCONT)


async def test_owners_are_told_apart_by_what_the_adapter_says(
    open_folder: Path, database_url: str
) -> None:
    async with stream_function(open_folder, database_url, BATON_AUTH="gateway") as function:
        async with function.sdk(**context("ann")) as ann, function.sdk(**context("bob")) as bob:
            thread_id = (await ann.threads.create())["thread_id"]
            assert [one["thread_id"] for one in await ann.threads.search()] == [thread_id]
            assert await bob.threads.search() == []
        async with httpx.AsyncClient(base_url=function.url) as stranger:
            refused = await stranger.post("/threads/search", json={})
            ready = await stranger.get("/ok")

    assert (refused.status_code, ready.status_code) == (401, 200)


@pytest.mark.parametrize("said", ["", "null", "{}", '{"authorizer": null}'])
async def test_a_context_without_claims_is_nobody(
    open_folder: Path, database_url: str, said: str
) -> None:
    async with (
        stream_function(open_folder, database_url, BATON_AUTH="gateway") as function,
        httpx.AsyncClient(base_url=function.url) as http,
    ):
        answer = await http.get("/assistants/counter", headers={"x-amzn-request-context": said})
    assert answer.status_code == 401
