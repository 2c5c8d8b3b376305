"""The unmodified SDK follows runs: on open lines, in segments, through broken connections."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError
from starlette.types import ASGIApp, Receive, Scope, Send

from graph.adapters.postgres import PostgresStore
from graph.runtime.models import Event, Json
from tests.fixtures.events import Context
from tests.fixtures.graphs import Log
from tests.fixtures.service import Service, service, worker
from tests.fixtures.tap import Tap
from tests.integration.test_sdk import INPUT, Stack, served

SEGMENT = 2.0  # seconds


def ticking(ticks: int, pace: float) -> Any:
    """A graph that takes one step after the other, with something to say in each."""

    async def tick(state: Log) -> Log:
        get_stream_writer()({"tick": len(state["log"]), "at": time.monotonic()})
        await asyncio.sleep(pace)
        return {"log": [f"tick {len(state['log'])}"]}

    graph = StateGraph(Log).add_node("tick", tick).add_edge(START, "tick")
    graph.add_conditional_edges("tick", lambda s: "tick" if len(s["log"]) < ticks else END)
    return graph.compile()


def buffered(app: ASGIApp) -> ASGIApp:
    """The app as it finds itself behind API Gateway: an answer leaves when it is whole."""

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "aws.event": {}, "aws.context": Context()}, receive, send)

    return gateway


@contextlib.asynccontextmanager
async def following(
    store: PostgresStore, *, segments: bool = False, **limits: Any
) -> AsyncIterator[Stack]:
    behind = service(store, segment_seconds=SEGMENT, **limits)
    app = buffered(behind.app) if segments else behind.app
    async with served(app) as url, worker(behind), get_client(url=url) as sdk:
        yield Stack(sdk, behind, url)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(database_url)
    yield made
    await made.close()


@pytest.fixture
async def stack(store: PostgresStore) -> AsyncIterator[Stack]:
    async with following(store) as made:
        yield made


async def log_of(behind: Service, run_id: str) -> list[Event]:
    """What is written, however the clients did."""
    (heard,) = await behind.rt.store.heard({run_id: 0}, limit=100_000)
    return list(heard.events)


def offer(stack: Stack, **graphs: Any) -> None:
    stack.service.loaded.graphs |= graphs


async def test_a_stream_tells_what_the_log_has_with_its_numbers(stack: Stack) -> None:
    thread_id = await stack.thread()
    runs: list[Any] = []

    parts = [
        part
        async for part in stack.sdk.runs.stream(
            thread_id,
            "steps",
            input=INPUT,
            stream_mode=["values", "updates"],
            on_run_created=runs.append,
        )
    ]

    run_id = runs[0]["run_id"]
    assert (parts[0].event, parts[0].data) == ("metadata", {"run_id": run_id, "attempt": 1})
    assert [(p.event, p.data) for p in parts[1:]] == [
        ("values", {"log": ["x"]}),
        ("updates", {"a": {"log": ["a"]}}),
        ("values", {"log": ["x", "a"]}),
        ("updates", {"b": {"log": ["b"]}}),
        ("values", {"log": ["x", "a", "b"]}),
        ("updates", {"c": {"log": ["c"]}}),
        ("values", {"log": ["x", "a", "b", "c"]}),
        ("end", None),
    ]
    written = await log_of(stack.service, run_id)
    assert [p.id for p in parts[1:-1]] == [str(event.seq) for event in written]


async def test_joining_late_going_on_and_filtering(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()
    run = await runs.create(thread_id, "steps", input=INPUT, stream_mode=["values", "updates"])
    await runs.join(thread_id, run["run_id"])
    where = (thread_id, run["run_id"])

    whole = [part async for part in runs.join_stream(*where)]
    again = [part async for part in runs.join_stream(*where, last_event_id="-1")]
    rest = [part async for part in runs.join_stream(*where, last_event_id=whole[5].id)]
    values = [part async for part in runs.join_stream(*where, stream_mode=["values"])]

    assert [part.event for part in whole] == [
        "metadata",
        "values",
        *["updates", "values"] * 3,
        "end",
    ]
    assert again == whole
    assert [part.data for part in rest] == [part.data for part in whole[6:]]
    assert {part.event for part in values} == {"metadata", "values", "end"}


async def test_a_run_nobody_meant_to_follow_tells_its_final_state(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()
    run = await runs.create(thread_id, "steps", input=INPUT)

    parts = [part async for part in runs.join_stream(thread_id, run["run_id"])]

    assert [(p.event, p.data) for p in parts[1:]] == [
        ("values", {"log": ["x", "a", "b", "c"]}),
        ("end", None),
    ]
    assert await log_of(stack.service, run["run_id"]) == []


async def test_a_question_and_a_failure(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()

    asked = [p async for p in runs.stream(thread_id, "asks", input=INPUT, stream_mode="values")]
    answered = [
        p async for p in runs.stream(thread_id, "asks", command={"resume": "yes"}, version="v2")
    ]
    failed = [p async for p in runs.stream(await stack.thread(), "fails", input=INPUT)]

    (question,) = asked[-2].data["__interrupt__"]
    assert question["value"] == {"ask": "go on?"}
    assert answered[-1]["data"] == {"log": ["x", "a", "answered yes", "c"]}
    assert [p.event for p in failed[-2:]] == ["error", "end"]
    assert failed[-2].data == {"error": "ValueError", "message": "as told"}


async def test_what_cannot_be_streamed_is_said_so(stack: Stack) -> None:
    runs, thread_id = stack.sdk.runs, await stack.thread()
    run = await runs.create(thread_id, "steps", input=INPUT)
    for asked, error, detail in (
        (runs.stream(thread_id, "steps", stream_mode="all"), UnprocessableEntityError, "values"),
        (runs.join_stream(thread_id, thread_id), NotFoundError, "does not exist"),
        (
            runs.join_stream(thread_id, run["run_id"], last_event_id="last"),
            UnprocessableEntityError,
            "Last-Event-ID",
        ),
    ):
        with pytest.raises(error, match=detail):
            await anext(asked)


async def test_a_remote_graph_streams_and_is_invoked(stack: Stack) -> None:
    remote = RemoteGraph("steps", client=stack.sdk)
    config: Any = {"configurable": {"thread_id": await stack.thread()}}

    chunks = [chunk async for chunk in remote.astream(INPUT, config, stream_mode="updates")]
    values = await remote.ainvoke({"log": ["y"]}, config)
    parts: Any = remote.astream(INPUT, config, stream_mode=["values", "updates"])
    both = [part[0] async for part in parts]

    assert chunks == [{"a": {"log": ["a"]}}, {"b": {"log": ["b"]}}, {"c": {"log": ["c"]}}]
    assert values == {"log": ["x", "a", "b", "c", "y", "a", "b", "c"]}
    assert both == ["values", *["updates", "values"] * 3]


async def test_a_run_without_a_thread(stack: Stack) -> None:
    runs, threads = stack.sdk.runs, stack.sdk.threads
    key = {"Idempotency-Key": "once"}

    for _ in range(2):
        parts = [p async for p in runs.stream(None, "steps", input=INPUT, headers=key)]
        assert parts[-2].data == {"log": ["x", "a", "b", "c"]}
    kept = [p async for p in runs.stream(None, "steps", input=INPUT, on_completion="keep")]
    invoked = await RemoteGraph("steps", client=stack.sdk).ainvoke(INPUT)

    assert kept[-2].data == invoked == {"log": ["x", "a", "b", "c"]}
    made = await threads.search(metadata={"stateless": True}, sort_by="created_at")
    assert [bool(thread["ttl"]) for thread in made] == [True, False, True]


async def test_messages_of_a_remote_graph(stack: Stack) -> None:
    remote = RemoteGraph("chat", client=stack.sdk)
    config: Any = {"configurable": {"thread_id": await stack.thread()}}
    given = {"messages": [{"role": "user", "content": "hi"}]}

    found = [chunk async for chunk in remote.astream(given, config, stream_mode="messages")]

    ((message, metadata),) = cast("list[tuple[Json, Json]]", found)
    assert (message["content"], metadata["langgraph_node"]) == ("you said hi", "reply")


async def test_readers_hear_of_a_step_at_once(stack: Stack) -> None:
    offer(stack, ticking=ticking(20, 0.05))
    late = []
    async for part in stack.sdk.runs.stream(
        await stack.thread(), "ticking", input={"log": []}, stream_mode="custom"
    ):
        if part.event == "custom":
            late.append(time.monotonic() - part.data["at"])

    print(f"events heard after {sorted(round(seconds * 1000) for seconds in late)} ms")
    assert len(late) == 20
    assert sorted(late)[10] < 0.1


async def test_a_silent_run_sends_heartbeats(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.runtime.telling.HEARTBEAT", 0.05)
    offer(stack, ticking=ticking(1, 0.3))
    asked = {"assistant_id": "ticking", "input": {"log": []}}
    async with httpx.AsyncClient() as client:
        path = f"{stack.url}/threads/{await stack.thread()}/runs/stream"
        answer = await client.post(path, json=asked)

    blocks = answer.text.split("\n\n")
    values = [block for block in blocks if block.startswith("event: values")]
    assert blocks.count(": heartbeat") >= 3
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["location"] == answer.headers["content-location"] + "/stream"
    assert [line.split(":")[0] for line in values[0].split("\n")] == ["event", "data", "id"]


@pytest.mark.parametrize(
    ("on_disconnect", "status"), [("cancel", "interrupted"), ("continue", "success")]
)
async def test_what_becomes_of_a_run_whose_client_leaves(
    stack: Stack, on_disconnect: Any, status: str
) -> None:
    offer(stack, ticking=ticking(4, 0.1))
    runs, thread_id = stack.sdk.runs, await stack.thread()
    made: list[Any] = []
    stream = runs.stream(
        thread_id,
        "ticking",
        input={"log": []},
        on_disconnect=on_disconnect,
        on_run_created=made.append,
    )
    async for part in stream:
        if part.event == "values":
            break
    await stream.aclose()

    async with asyncio.timeout(10):
        await runs.join(thread_id, made[0]["run_id"])
    assert (await runs.get(thread_id, made[0]["run_id"]))["status"] == status


class Seen:
    """What a client saw of a run, and connections broken under it."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.drops = 0
        self.ended = False

    async def follow(self, stream: AsyncIterator[Any]) -> None:
        async for part in stream:
            if part.event in ("values", "updates", "custom"):
                self.ids.append(int(part.id))
            self.ended = self.ended or part.event == "end"

    async def drop(self, tap: Tap, every: float) -> None:
        while not self.ended:
            await asyncio.sleep(every)
            if self.ids and not self.ended:
                self.drops += 1
                tap.hang_up()


async def followed(stack: Stack, ticks: int, pace: float, *, drop_every: float) -> Seen:
    """A ticking run followed through connections that break; all of it must have been seen."""
    offer(stack, ticking=ticking(ticks, pace))
    made: list[Any] = []
    seen = Seen()
    async with (
        Tap(httpx.URL(stack.url).port or 0) as tap,
        get_client(url=f"http://127.0.0.1:{tap.port}") as sdk,
    ):
        stream = sdk.runs.stream(
            await stack.thread(),
            "ticking",
            input={"log": []},
            config={"recursion_limit": 1000},
            stream_mode=["values", "updates", "custom"],
            stream_resumable=True,
            on_run_created=made.append,
        )
        dropping = asyncio.create_task(seen.drop(tap, drop_every))
        await seen.follow(stream)
        await dropping
    written = await log_of(stack.service, made[0]["run_id"])
    assert seen.ids == [event.seq for event in written]
    assert len(written) == 1 + 3 * ticks
    assert seen.ended
    return seen


async def test_an_open_line_that_breaks_is_taken_up_again(stack: Stack) -> None:
    seen = await followed(stack, ticks=60, pace=0.05, drop_every=0.8)
    assert seen.drops >= 2


async def test_a_run_stepped_where_its_client_waits_is_handed_over_when_the_line_breaks(
    store: PostgresStore,
) -> None:
    async with following(store, line_seconds=600.0, line_lease=5.0) as stack:
        seen = await followed(stack, ticks=60, pace=0.05, drop_every=0.8)
        assert seen.drops >= 2
        assert stack.service.app.state.edge().lines == {}


@pytest.mark.parametrize("how", ["wait", "join"])
@pytest.mark.parametrize(("cancels", "status"), [(True, "interrupted"), (False, "success")])
async def test_what_becomes_of_a_run_whose_client_stops_waiting(
    stack: Stack, how: str, cancels: bool, status: str
) -> None:
    offer(stack, ticking=ticking(4, 0.2))
    runs, thread_id = stack.sdk.runs, await stack.thread()
    path = f"{stack.url}/threads/{thread_id}/runs"
    asked: Any = {"assistant_id": "ticking", "input": {"log": []}}
    async with httpx.AsyncClient() as client:
        if how == "wait":
            body = {**asked, "on_disconnect": "cancel" if cancels else "continue"}
            opened = client.stream("POST", f"{path}/wait", json=body)
        else:
            run_id = (await client.post(path, json=asked)).json()["run_id"]
            told = {"cancel_on_disconnect": cancels}
            opened = client.stream("GET", f"{path}/{run_id}/join", params=told)
        async with opened as answer:  # and left again
            run_id = answer.headers["content-location"].rpartition("/")[2]

    async with asyncio.timeout(10):
        await runs.join(thread_id, run_id)
    assert (await runs.get(thread_id, run_id))["status"] == status


@pytest.mark.parametrize("inline", [False, True], ids=["by workers", "where its client waits"])
async def test_an_open_line_that_ends_in_time_is_taken_up_again(
    store: PostgresStore, inline: bool
) -> None:
    limits: Any = {"line_seconds": 600.0, "line_lease": 5.0} if inline else {}
    async with following(store, stream_seconds=0.5, **limits) as stack:
        seen = await followed(stack, ticks=40, pace=0.05, drop_every=60)
        assert seen.drops == 0


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect")  # its own line ends, too
async def test_nothing_is_lost_when_the_run_ends_as_its_line_does(store: PostgresStore) -> None:
    async with following(store, stream_seconds=0.3) as stack:
        offer(stack, ticking=ticking(1, 0.6))
        modes = ["values", "custom"]
        asked = {"assistant_id": "ticking", "input": {"log": []}, "stream_mode": modes}
        async with httpx.AsyncClient(base_url=stack.url) as client:
            path = f"/threads/{await stack.thread()}/runs"
            first = await client.post(f"{path}/stream", json=asked)
            where = first.headers["location"]
            await stack.sdk.runs.join(path.split("/")[2], where.split("/")[-2])
            check = await client.get(where.removesuffix("/stream"))
            ids = [line[4:] for line in first.text.splitlines() if line.startswith("id: ")]
            rest = await client.get(where, headers={"Last-Event-ID": (ids or ["-1"])[-1]})
    assert "event: end" not in first.text
    assert check.json()["status"] == "running"  # so that clients come for the rest
    assert "tick 0" in rest.text
    assert "event: end" in rest.text


async def test_a_line_without_an_event_says_at_least_who_it_is(store: PostgresStore) -> None:
    async with following(store, stream_seconds=0.1) as stack:
        offer(stack, ticking=ticking(1, 1.0))
        thread_id = await stack.thread()
        run = await stack.sdk.runs.create(thread_id, "ticking", input={"log": []})
        path = f"{stack.url}/threads/{thread_id}"
        async with httpx.AsyncClient() as client:
            at = {"Last-Event-ID": "999"}
            one = await client.get(f"{path}/runs/{run['run_id']}/stream", headers=at)
            all_of_it = await client.get(f"{path}/stream", headers={"Last-Event-ID": "999-0"})
    for text in (one.text, all_of_it.text):
        assert [line for line in text.splitlines() if line.startswith("event")] == [
            "event: metadata"
        ]


async def test_a_client_that_waits_is_cut_off_where_its_line_ends_and_joins(
    store: PostgresStore,
) -> None:
    async with following(store, stream_seconds=0.5) as stack:
        offer(stack, ticking=ticking(1, 2.0))
        thread_id = await stack.thread()
        with pytest.warns(UserWarning, match="attempting reconnect to Location: /threads/"):
            values = await stack.sdk.runs.wait(thread_id, "ticking", input={"log": []})
        assert values == {"log": ["tick 0"]}
        assert len(await stack.sdk.runs.list(thread_id)) == 1


async def test_a_join_that_is_cut_off_has_said_where_to_join_again(store: PostgresStore) -> None:
    async with following(store, stream_seconds=0.2) as stack:
        offer(stack, ticking=ticking(1, 1.0))
        run = await stack.sdk.runs.create(None, "ticking", input={"log": []})
        path = f"/threads/{run['thread_id']}/runs/{run['run_id']}/join"
        async with (
            httpx.AsyncClient(base_url=stack.url) as client,
            client.stream("GET", path) as answer,
        ):
            assert answer.headers["location"] == path
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
