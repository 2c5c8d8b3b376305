"""`baton dev` and the Stack behind it, with every part real."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import APIStatusError

from infra.local.children import CannotStart, Children, python_env
from infra.local.event_source import Pace
from infra.local.ledger import Ledger, start_of
from infra.local.queues import Message, Redrive, Source
from infra.local.sqs_server import sqs_server
from infra.local.stack import Options, Stack
from tests.fixtures.keys import listed

COUNTER = Path(__file__).parents[1] / "fixtures" / "projects" / "counter" / "langgraph.json"
BATON = Path(sys.executable).with_name("baton")
OURS = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "QUEUE_URL")
ENVIRON = {key: value for key, value in os.environ.items() if key not in OURS}
ENVIRON["BATON_LINE_SECONDS"] = "0"  # its workers are what is tested
UP = 60.0
STOPPED = 10.0


def stack_on(data: Path, **changes: Any) -> Stack:
    """A stack of the counter's project; what its processes say is shown when the test fails."""
    told = {"config": COUNTER, "port": 0, "queue": "memory", "environ": ENVIRON, **changes}
    return Stack(Options(data=data, **told), say=lambda who, line: print(who, line))


async def count_to_three(url: str, thread_id: str | None = None) -> Any:
    """Run the project's graph; the thread's id and the values its run ended with."""
    async with get_client(url=url) as client:
        thread_id = thread_id or (await client.threads.create())["thread_id"]
        values = await client.runs.wait(thread_id, "counter", input={"counted": [], "pids": []})
    return thread_id, values


async def state_of(url: str, thread_id: str) -> Any:
    async with get_client(url=url) as client:
        return (await client.threads.get_state(thread_id))["values"]


@pytest.mark.parametrize("queue", ["sqs", "memory"])
async def test_a_thread_runs_and_its_data_survives_a_restart(open_folder: Path, queue: str) -> None:
    async with stack_on(open_folder, queue=queue) as stack:
        assert httpx.get(f"{stack.url}/ok").status_code == 200
        assert stack.graphs == ["counter"]
        workers = {worker.pid for worker in stack.workers}
        thread_id, values = await count_to_three(stack.url)

    assert values["counted"] == [0, 2, 4]
    assert set(values["pids"]) <= workers
    async with stack_on(open_folder, queue=queue) as stack:
        assert await state_of(stack.url, thread_id) == values


async def test_a_run_whose_client_follows_it_is_stepped_by_the_api_itself(
    open_folder: Path,
) -> None:
    inline = {key: value for key, value in ENVIRON.items() if key != "BATON_LINE_SECONDS"}
    async with stack_on(open_folder, environ=inline) as stack, get_client(url=stack.url) as client:
        (api,) = [one["pid"] for one in processes(open_folder) if one["name"] == "api"]
        thread_id, waited = await count_to_three(stack.url)
        stream = client.runs.stream(thread_id, "counter", input={"counted": [], "pids": []})
        *_, last, end = [part async for part in stream]
        background = await client.runs.create(thread_id, "counter", input={})
        values: Any = await client.runs.join(thread_id, background["run_id"])
        workers = {worker.pid for worker in stack.workers}

    assert (set(waited["pids"]), end.event) == ({api}, "end")
    assert last.data["pids"] == [api] * 6
    assert set(values["pids"][6:]) <= workers


class Twice:
    """A source that delivers every message a second time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._again: list[Message] = []
        self.delivered = 0

    @property
    def arn(self) -> str:
        return self._source.arn

    async def receive(self, limit: int) -> list[Message]:
        received = self._again or await self._source.receive(limit)
        self._again = [] if self._again else list(received)
        self.delivered += len(received)
        return received

    async def delete(self, messages: Sequence[Message]) -> None:
        await self._source.delete(messages)

    async def release(self, messages: Sequence[Message], *, after: float) -> None:
        await self._source.release(messages, after=after)


async def test_a_wrapped_source_can_deliver_everything_twice(open_folder: Path) -> None:
    sources: list[Twice] = []

    def wrap(source: Source) -> Source:
        sources.append(Twice(source))
        return sources[-1]

    async with stack_on(open_folder, wrap=wrap, pace=Pace(batch_size=1)) as stack:
        _, values = await count_to_three(stack.url)

    assert values["counted"] == [0, 2, 4]
    assert sources[0].delivered >= 6


async def test_a_killed_api_is_started_again_and_requests_wait_for_it(open_folder: Path) -> None:
    async with stack_on(open_folder) as stack, httpx.AsyncClient(timeout=30) as client:
        before = processes(open_folder)
        (api,) = [one["pid"] for one in before if one["name"] == "api"]
        os.kill(api, signal.SIGKILL)

        assert (await client.get(f"{stack.url}/ok")).status_code == 200

        (after,) = [one["pid"] for one in processes(open_folder) if one["name"] == "api"]
        assert after != api


async def test_a_killed_postgres_is_started_again_with_its_data(open_folder: Path) -> None:
    async with stack_on(open_folder) as stack:
        thread_id, _ = await count_to_three(stack.url)
        (postgres,) = [one["pid"] for one in processes(open_folder) if one["name"] == "postgres"]
        os.kill(postgres, signal.SIGKILL)
        async with asyncio.timeout(UP):
            while all(one["name"] != "postgres" for one in processes(open_folder)) or (
                start_of(postgres) is not None
            ):
                await asyncio.sleep(0.05)

        _, values = await patiently(lambda: count_to_three(stack.url, thread_id))

    assert values["counted"] == [0, 2, 4, 6, 8, 10]


async def patiently(ask: Any) -> Any:
    """Ask again while the answer is an error of the server's."""
    async with asyncio.timeout(UP):
        while True:
            try:
                return await ask()
            except (APIStatusError, httpx.HTTPStatusError) as error:  # as the call is made
                if error.response.status_code < 500:
                    raise
                await asyncio.sleep(0.2)


async def test_the_environments_database_is_used_instead_of_an_embedded_one(
    open_folder: Path, database_url: str, direct_url: str
) -> None:
    urls = {"DATABASE_URL": database_url, "MIGRATION_DATABASE_URL": direct_url}
    async with stack_on(open_folder, environ={**ENVIRON, **urls}) as stack:
        _, values = await count_to_three(stack.url)
        assert stack.database_url == database_url

    assert values["counted"] == [0, 2, 4]
    assert not (open_folder / "postgres").exists()


async def test_the_environments_queue_is_used_instead_of_an_embedded_one(open_folder: Path) -> None:
    ledger = Ledger(open_folder / "elsewhere.json")
    redrive = Redrive(visibility=60)
    async with (
        Children(ledger, lambda _, line: print(line)) as children,
        sqs_server(children, python_env(ENVIRON), redrive) as (source, endpoint),
    ):
        told = {**ENVIRON, "QUEUE_URL": source.url, "AWS_ENDPOINT_URL_SQS": endpoint}
        async with stack_on(open_folder, environ=told) as stack:
            _, values = await count_to_three(stack.url)
            assert stack.queue_url == source.url

    assert values["counted"] == [0, 2, 4]


async def test_a_queue_that_is_not_there_is_one_clear_line(open_folder: Path) -> None:
    nowhere = {"QUEUE_URL": "http://127.0.0.1:9/q", "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9"}
    with pytest.raises(CannotStart, match=r"QUEUE_URL is http://127\.0\.0\.1:9/q, but SQS did not"):
        async with stack_on(open_folder, environ={**ENVIRON, **nowhere}):
            pass

    assert processes(open_folder) == []


async def test_encryption_keys_that_are_none_are_one_clear_line(open_folder: Path) -> None:
    with pytest.raises(CannotStart, match="ENCRYPTION_KEYS: key k1 is not base64"):
        async with stack_on(open_folder, environ={**ENVIRON, "ENCRYPTION_KEYS": "k1:??"}):
            pass

    assert processes(open_folder) == []


async def test_what_a_stack_seals_it_runs_and_reads(open_folder: Path) -> None:
    environ = {**ENVIRON, "ENCRYPTION_KEYS": listed("k1")}
    async with stack_on(open_folder, environ=environ) as stack:
        _, values = await count_to_three(stack.url)
        with psycopg.connect(stack.database_url) as connection:
            bodies = connection.execute("SELECT substring(body from 3 for 3) FROM checkpoints")
            assert set(bodies) == {(b"\x02k1",)}
    assert values["counted"] == [0, 2, 4]


async def test_a_database_that_is_not_there_is_one_clear_line(open_folder: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:9/baton"}
    with pytest.raises(CannotStart, match="Postgres cannot be reached"):
        async with stack_on(open_folder, environ={**ENVIRON, **nowhere}):
            pass

    assert processes(open_folder) == []


async def test_everything_listens_on_loopback_only(open_folder: Path) -> None:
    async with stack_on(open_folder, queue="sqs"):
        pids = [one["pid"] for one in processes(open_folder)]
        addresses = listening([*pids, os.getpid()])

    assert len(addresses) >= 3
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


def listening(pids: Sequence[int]) -> set[str]:
    """The TCP addresses, in hexadecimal, on which any of the processes accepts connections."""
    held = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                held.add(os.readlink(fd))
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in held:
                found.add(fields[1])
    return found


def processes(data: Path) -> list[dict[str, Any]]:
    """The stack's own ledger of what it has started."""
    ledger: list[dict[str, Any]] = json.loads((data / "processes.json").read_text())
    return ledger


class Dev:
    """A running `baton dev`."""

    def __init__(self, process: asyncio.subprocess.Process, data: Path) -> None:
        self.process = process
        self.data = data
        self.said: list[str] = []

    async def up(self) -> str:
        """Its URL."""
        assert self.process.stdout is not None
        async with asyncio.timeout(UP):
            while line := (await self.process.stdout.readline()).decode():
                self.said.append(line)
                if line.startswith("Ready at "):
                    return line.split()[2].rstrip(".")
        raise AssertionError("".join(self.said))

    async def ended(self, *, within: float = STOPPED) -> int:
        """Its exit status."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            rest = await self.process.stdout.read()
            self.said += rest.decode().splitlines(keepends=True)
            return await self.process.wait()

    @property
    def text(self) -> str:
        return "".join(self.said)


@contextlib.asynccontextmanager
async def dev(data: Path, *arguments: str, config: Path = COUNTER) -> AsyncIterator[Dev]:
    told = ["--port", "0", "--queue", "memory", "--config", str(config), "--data", str(data)]
    process = await asyncio.create_subprocess_exec(
        *(str(BATON), "dev", *told, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=ENVIRON,
        start_new_session=True,
    )
    try:
        yield Dev(process, data)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.communicate(), STOPPED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_told_to_stop_it_ends_all_it_started_quickly_and_quietly(
    open_folder: Path, number: signal.Signals
) -> None:
    async with dev(open_folder) as running:
        await running.up()
        pids = [one["pid"] for one in processes(open_folder)]
        running.process.send_signal(number)

        assert await running.ended(within=5) == 0

    assert len(pids) >= 4
    assert [pid for pid in pids if start_of(pid)] == []
    assert running.said[-1].startswith("Stopped")
    assert "Traceback" not in running.text


async def test_told_to_stop_while_it_starts_it_leaves_nothing(open_folder: Path) -> None:
    async with dev(open_folder) as running:
        async with asyncio.timeout(UP):
            while not (open_folder / "postgres.log").exists():
                await asyncio.sleep(0.01)
        pids = [one["pid"] for one in processes(open_folder)]
        running.process.send_signal(signal.SIGTERM)

        assert await running.ended() == 0

    assert [pid for pid in pids if start_of(pid)] == []
    assert "Traceback" not in running.text


async def test_after_a_kill_nothing_lives_on_and_the_next_goes_on(open_folder: Path) -> None:
    async with dev(open_folder) as killed:
        thread_id, values = await count_to_three(await killed.up())
        pids = [one["pid"] for one in processes(open_folder)]
        killed.process.kill()
        await killed.ended()

    async with dev(open_folder) as running:
        url = await running.up()
        assert [pid for pid in pids if start_of(pid)] == []
        assert await state_of(url, thread_id) == values


async def test_a_second_one_on_the_same_data_is_refused(open_folder: Path) -> None:
    async with dev(open_folder) as first:
        url = await first.up()
        before = processes(open_folder)
        async with dev(open_folder) as second:
            assert await second.ended(within=UP) == 1

        assert f"(process {first.process.pid}) uses {open_folder}" in second.said[-1]
        assert processes(open_folder) == before
        assert httpx.get(f"{url}/ok").status_code == 200


async def test_a_port_in_use_is_refused_before_anything_starts(open_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with dev(open_folder, "--port", port) as refused:
            started = time.monotonic()
            assert await refused.ended(within=UP) == 1

    assert f"port {port} cannot be used" in refused.said[-1]
    assert not (open_folder / "postgres").exists(), f"{time.monotonic() - started:.1f} s"


BROKEN = {
    "missing": (None, "there is no"),
    "not json": ("{", "cannot be read as JSON"),
    "no graphs": ("{}", "names no graphs"),
    "no file": ('{"graphs": {"g": "./nowhere.py:graph"}}', "nowhere.py"),
    "no variable": ('{"graphs": {"g": "./good.py:other"}}', "has no 'other'"),
    "raises": ('{"graphs": {"g": "./bad.py:graph"}}', "out of order"),
    "exits": ('{"graphs": {"g": "./leaves.py:graph"}}', "died"),
    "no graph": ('{"graphs": {"g": "./good.py:number"}}', "not a LangGraph graph"),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_broken_project_is_one_clear_line(open_folder: Path, fault: str) -> None:
    text, names = BROKEN[fault]
    config = open_folder / "langgraph.json"
    if text is not None:
        config.write_text(text)
    (open_folder / "good.py").write_text("number = 3\n")
    (open_folder / "bad.py").write_text("raise RuntimeError('out of order')\n")
    (open_folder / "leaves.py").write_text("import os\nos._exit(3)\n")
    data = open_folder / "data"

    async with dev(data, config=config) as refused:
        assert await refused.ended(within=UP) == 1

    assert refused.said[-1].startswith("baton: ")
    assert names in refused.said[-1]
    assert "Traceback" not in refused.text
    if (data / "processes.json").exists():
        assert processes(data) == []
