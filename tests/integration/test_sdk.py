"""The unmodified SDK against the API on uvicorn, with Postgres behind pgbouncer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn
from langgraph_sdk import get_client
from langgraph_sdk.errors import (
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from graph.adapters.postgres import PostgresStore
from graph.errors import Unavailable
from tests.fixtures.around import around
from tests.fixtures.service import Service, service, worker

INPUT = {"log": ["x"]}


@dataclass
class Stack:
    """A client, and the service it talks to over a real socket."""

    sdk: Any  # the client's types are narrower than what it sends
    service: Service
    url: str

    async def thread(self) -> str:
        return str((await self.sdk.threads.create())["thread_id"])

    async def ran(self, graph: str, **asked: Any) -> str:
        thread_id = await self.thread()
        await self.sdk.runs.wait(thread_id, graph, input=INPUT, raise_error=False, **asked)
        return thread_id

    async def seen(self, thread_id: str) -> list[Any]:
        """All a client can see of a thread."""
        sdk = self.sdk
        return [
            await sdk.threads.get(thread_id),
            await sdk.threads.get_state(thread_id),
            await sdk.threads.get_history(thread_id),
            await sdk.runs.list(thread_id),
        ]


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The app on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    store = PostgresStore(database_url)
    behind = service(store)
    async with served(behind.app) as url, worker(behind), get_client(url=url) as sdk:
        yield Stack(sdk, behind, url)
    await store.close()


async def test_assistants(stack: Stack) -> None:
    found = await stack.sdk.assistants.search(graph_id="steps")
    page = await stack.sdk.assistants.search(limit=2, response_format="object")

    assert await stack.sdk.assistants.get(found[0]["assistant_id"]) == found[0]
    assert await stack.sdk.assistants.get("steps") == found[0]
    assert await stack.sdk.assistants.count() == 5
    assert (len(page["assistants"]), page["next"]) == (2, "2")
    drawn = await stack.sdk.assistants.get_graph("steps")
    assert {node["id"] for node in drawn["nodes"]} > {"a", "b", "c"}


async def test_threads(stack: Stack) -> None:
    threads = stack.sdk.threads
    thread_id = str(uuid4())

    made = await threads.create(thread_id=thread_id, metadata={"user": "ann"}, graph_id="steps")
    same = await threads.create(thread_id=thread_id, if_exists="do_nothing")
    updated = await threads.update(thread_id, metadata={"more": 1}, ttl=60)
    none = await threads.update(thread_id, metadata={"more": 2}, return_minimal=True)
    other = await threads.create(ttl={"ttl": 5, "strategy": "keep_latest"})
    with pytest.raises(ConflictError):
        await threads.create(thread_id=thread_id, if_exists="raise")

    assert made == same
    assert made["metadata"] == {"user": "ann", "graph_id": "steps"}
    assert (updated["metadata"]["more"], none) == (1, None)
    found = await threads.search(metadata={"user": "ann"}, sort_by="updated_at", sort_order="asc")
    assert [thread["metadata"]["more"] for thread in found] == [2]
    assert await threads.search(ids=[other["thread_id"]], select=["status"]) == [{"status": "idle"}]
    assert await threads.count(status="idle") == 2

    await threads.delete(thread_id)
    with pytest.raises(NotFoundError):
        await threads.get(thread_id)


async def test_a_run_from_creation_to_deletion(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()
    told: list[Any] = []

    run = await runs.create(
        thread_id,
        "steps",
        input=INPUT,
        metadata={"by": "sdk"},
        config={"recursion_limit": 10, "tags": ["t"], "configurable": {"k": 1}},
        on_run_created=told.append,
        stream_mode=["values"],
        durability="async",
    )
    values = await runs.join(thread_id, run["run_id"])
    ended = await runs.get(thread_id, run["run_id"])

    assert told == [{"run_id": run["run_id"], "thread_id": thread_id}]
    assert values == {"log": ["x", "a", "b", "c"]}
    assert (run["status"], ended["status"]) == ("pending", "success")
    assert await runs.list(thread_id, status="success") == [ended]
    thread = await stack.sdk.threads.get(thread_id)
    assert (thread["status"], thread["values"]) == ("idle", values)
    assert thread["metadata"]["graph_id"] == "steps"

    await runs.delete(thread_id, run["run_id"])
    assert await runs.list(thread_id) == []


async def test_messages(stack: Stack) -> None:
    message = {"role": "user", "content": "hi ☀"}

    values = await stack.sdk.runs.wait(await stack.thread(), "chat", input={"messages": [message]})

    assert [(m["type"], m["content"]) for m in values["messages"]] == [
        ("human", "hi ☀"),
        ("ai", "you said hi ☀"),
    ]


async def test_a_question_is_answered(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()

    asked = await runs.wait(thread_id, "asks", input=INPUT)
    thread = await stack.sdk.threads.get(thread_id)
    state = await stack.sdk.threads.get_state(thread_id)
    done = await runs.wait(thread_id, "asks", command={"resume": "yes"})

    (question,) = asked["__interrupt__"]
    assert question["value"] == {"ask": "go on?"}
    assert thread["status"] == "interrupted"
    assert list(thread["interrupts"].values()) == [state["interrupts"]] == [[question]]
    assert (state["next"], state["tasks"][0]["interrupts"]) == (["ask"], [question])
    assert done == {"log": ["x", "a", "answered yes", "c"]}
    with pytest.raises(ConflictError):
        await runs.create(thread_id, "asks", command={"resume": "again"})


async def test_static_breakpoints(stack: Stack) -> None:
    thread_id = await stack.ran("steps", interrupt_before=["b"])

    before_b = await stack.sdk.threads.get_state(thread_id)
    after_b = await stack.sdk.runs.wait(thread_id, "steps", interrupt_after="*")
    end = await stack.sdk.runs.wait(thread_id, "steps")

    assert (before_b["values"], before_b["next"]) == ({"log": ["x", "a"]}, ["b"])
    assert after_b == {"log": ["x", "a", "b"]}
    assert end == {"log": ["x", "a", "b", "c"]}


async def test_time_travel(stack: Stack) -> None:
    threads, runs = stack.sdk.threads, stack.sdk.runs
    thread_id = await stack.ran("steps")

    past = await threads.get_history(thread_id, limit=20)
    after_a = past[2]
    at = after_a["checkpoint"]
    read = await threads.get_state(thread_id, checkpoint=at)
    again = await runs.wait(thread_id, "steps", checkpoint_id=at["checkpoint_id"])
    fork = await threads.update_state(thread_id, {"log": ["!"]}, checkpoint=at)
    forked = await runs.wait(thread_id, "steps")
    newest = await threads.get_history(thread_id, limit=1)
    older = await threads.get_history(thread_id, before=newest[0]["checkpoint"], limit=1)

    assert [len(state["values"]["log"]) for state in past] == [4, 3, 2, 1, 0]
    assert read == after_a
    assert again == {"log": ["x", "a", "b", "c"]}
    assert fork["checkpoint"]["checkpoint_id"] != at["checkpoint_id"]
    assert forked == {"log": ["x", "a", "!", "b", "c"]}
    assert older[0]["values"] == {"log": ["x", "a", "!", "b"]}


async def test_nested_states(stack: Stack) -> None:
    threads = stack.sdk.threads
    thread_id = await stack.ran("nests")

    deep = await threads.get_state(thread_id, subgraphs=True)
    nested = deep["tasks"][0]["state"]
    by_place = await threads.get_state(thread_id, checkpoint=nested["checkpoint"])
    edit = {"log": ["!"]}
    await threads.update_state(thread_id, edit, as_node="think", checkpoint=nested["checkpoint"])
    done = await stack.sdk.runs.wait(thread_id, "nests", command={"resume": "yes"})

    assert nested["next"] == ["ask"]
    assert by_place["values"] == nested["values"]
    assert done["log"][-2:] == ["!", "answered yes"]


async def test_a_node_that_raises(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()

    with pytest.raises(Exception, match="ValueError: as told"):
        await runs.wait(thread_id, "fails", input=INPUT)
    thread = await stack.sdk.threads.get(thread_id)
    (run,) = await runs.list(thread_id)
    good = await runs.wait(thread_id, "steps", input={"log": ["again"]})

    assert (run["status"], thread["status"]) == ("error", "error")
    assert thread["values"] == {"log": ["x", "a"]}
    assert good == {"log": ["x", "a", "again", "a", "b", "c"]}


async def test_a_busy_thread(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()

    waiting = await runs.create(thread_id, "steps", input=INPUT, after_seconds=600)
    with pytest.raises(ConflictError):
        await runs.create(thread_id, "steps", input=INPUT, multitask_strategy="reject")
    queued = await runs.create(thread_id, "steps", input=INPUT, multitask_strategy="enqueue")
    await runs.cancel(thread_id, waiting["run_id"])
    values = await runs.join(thread_id, queued["run_id"])
    with pytest.raises(ConflictError):
        await runs.cancel(thread_id, queued["run_id"])

    assert values == {"log": ["x", "a", "b", "c"]}
    assert (await runs.get(thread_id, waiting["run_id"]))["status"] == "interrupted"


async def test_cancelling_and_waiting_for_it(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()
    run = await runs.create(thread_id, "steps", input=INPUT, after_seconds=600)

    await runs.cancel(thread_id, run["run_id"], wait=True)

    assert (await runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
    assert (await stack.sdk.threads.get(thread_id))["status"] == "idle"


async def test_the_same_request_twice(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()
    key = {"Idempotency-Key": "once"}

    made = await asyncio.gather(
        *(runs.create(thread_id, "steps", input=INPUT, headers=key) for _ in range(5))
    )
    values = await runs.wait(thread_id, "steps", input=INPUT, headers=key)

    assert len({run["run_id"] for run in made}) == 1
    assert values == {"log": ["x", "a", "b", "c"]}


async def test_a_wait_that_is_cut_off_goes_on(stack: Stack) -> None:
    store, broken = stack.service.rt.store, [Unavailable("gone for a moment")]

    async def once_down(look: Any, run_ids: Any) -> Any:
        if broken:
            raise broken.pop()
        return await look(run_ids)

    around(store.runs_by_id, once_down)

    with pytest.warns(UserWarning, match="attempting reconnect"):
        values = await stack.sdk.runs.wait(await stack.thread(), "steps", input=INPUT)

    assert values == {"log": ["x", "a", "b", "c"]}


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"assistant_id": "nobody"}, NotFoundError, "does not exist"),
    ({"checkpoint_id": str(uuid4())}, NotFoundError, "checkpoint"),
    ({"checkpoint_id": "newest"}, UnprocessableEntityError, "checkpoint_id"),
    ({"command": {"resume": "yes"}}, ConflictError, "nothing to resume"),
    ({"multitask_strategy": "merge"}, UnprocessableEntityError, "multitask_strategy"),
    ({"webhook": "http://example.com"}, UnprocessableEntityError, "no notify queue"),
    ({"input": {"log": ["\0"]}}, UnprocessableEntityError, "NUL"),
]


@pytest.mark.parametrize(("asked", "error", "detail"), BAD)
async def test_bad_input_is_refused_and_changes_nothing(
    stack: Stack, asked: dict[str, Any], error: type[Exception], detail: str
) -> None:
    thread_id = await stack.ran("steps")
    before = await stack.seen(thread_id)

    with pytest.raises(error, match=detail):
        await stack.sdk.runs.create(thread_id, **{"assistant_id": "steps", **asked})

    assert await stack.seen(thread_id) == before


async def test_an_unknown_thread_and_a_refused_edit(stack: Stack) -> None:
    threads, nowhere = stack.sdk.threads, str(uuid4())
    thread_id = await stack.ran("asks")
    before = await stack.seen(thread_id)

    for call in (
        stack.sdk.runs.create(nowhere, "steps"),
        stack.sdk.runs.join(nowhere, nowhere),
        threads.get_state(nowhere),
        threads.get_state(thread_id, checkpoint_id=nowhere),
        threads.get_history(nowhere),
        threads.update_state(nowhere, INPUT),
        threads.update_state(thread_id, INPUT, checkpoint_id=nowhere),
        threads.delete(nowhere),
    ):
        with pytest.raises((NotFoundError, httpx.HTTPStatusError), match=r"404|does not exist"):
            await call
    with pytest.raises(UnprocessableEntityError, match="nobody"):
        await threads.update_state(thread_id, INPUT, as_node="nobody")
    with pytest.raises(UnprocessableEntityError, match="valid UUID"):
        await threads.get("mine")

    assert await stack.seen(thread_id) == before


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_body_that_is_too_large(stack: Stack, hidden: bool) -> None:
    large = b'{"metadata": {"text": "' + b"x" * 5_000_000 + b'"}}'

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    async with httpx.AsyncClient(base_url=stack.url) as client:
        content: Any = parts() if hidden else large
        json = {"Content-Type": "application/json"}
        answer = await client.post("/threads", content=content, headers=json)

    assert answer.status_code == 413
    assert answer.json() == {"detail": "the body is larger than 5000000 bytes"}
    assert await stack.sdk.threads.count() == 0


async def test_malformed_json(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url) as client:
        json = {"Content-Type": "application/json"}
        answer = await client.post("/threads", content=b'{"metadata": ', headers=json)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body: it is not JSON")
    assert await stack.sdk.threads.count() == 0
