"""Runs stepped where their clients wait: what is sent straight is what is stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from functions.api.access.identify import STREAM_EVENT
from graph.adapters.memory import MemoryStore
from graph.errors import LostClaim, Unavailable
from graph.runtime.models import SKIPPED, Claim, Event, Json
from graph.runtime.step import step
from tests.fixtures.asgi import post
from tests.fixtures.graphs import Log
from tests.fixtures.service import Service, service, worker

LEASE = 30.0
INPUT: Json = {"log": []}


def ticking(ticks: int, gate: asyncio.Event | None = None, *, words: int = 1) -> Any:
    """A graph that says some words in each of its steps; its last one waits for the gate."""

    async def tick(state: Log) -> Log:
        for word in range(words):
            get_stream_writer()(f"{len(state['log'])}.{word}")
            await asyncio.sleep(0.005)
        if gate and len(state["log"]) == ticks - 1:
            await gate.wait()
        return {"log": [f"tick {len(state['log'])}"]}

    graph = StateGraph(Log).add_node("tick", tick).add_edge(START, "tick")
    graph.add_conditional_edges("tick", lambda s: "tick" if len(s["log"]) < ticks else END)
    return graph.compile()


class Slow(MemoryStore):
    """Counts writes while steps run, and fails them or holds them up when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.tells: list[int] = []
        self.broken: Exception | None = None

    async def tell(self, claim: Claim, events: Sequence[Event]) -> bool:
        self.tells.append(len(events))
        if self.broken:
            raise self.broken
        return await super().tell(claim, events)


def inline(graph: Any, store: MemoryStore | None = None, **limits: Any) -> Service:
    limits = {"line_seconds": 600.0, "line_lease": LEASE, **limits}
    return service(store or Slow(), more_graphs={"ticking": graph}, **limits)


@asynccontextmanager
async def streamed(of: Service, thread_id: str, **asked: Any) -> AsyncIterator[asyncio.Queue[Any]]:
    """A client's stream, straight from the app: (name, data, id) as they arrive, then None."""
    parts: asyncio.Queue[Any] = asyncio.Queue()
    leaves = asyncio.Event()
    body = orjson.dumps(
        {"assistant_id": "ticking", "input": INPUT, "stream_mode": ["custom", "values"], **asked}
    )
    sent = False

    async def receive() -> Json:
        nonlocal sent
        if sent:
            await leaves.wait()
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        for block in message.get("body", b"").split(b"\n\n"):
            lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
            if b"event" in lines:
                seq = lines.get(b"id")
                data = orjson.loads(lines[b"data"])
                parts.put_nowait((lines[b"event"].decode(), data, int(seq) if seq else None))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            parts.put_nowait(None)

    app = asyncio.create_task(of.app(post(f"/threads/{thread_id}/runs/stream"), receive, send))
    try:
        yield parts
    finally:
        leaves.set()
        await app


async def rest(parts: "asyncio.Queue[Any]") -> list[Any]:
    got = []
    async with asyncio.timeout(20):
        while (part := await parts.get()) is not None:
            got.append(part)
    return got


async def stored(of: Service, thread_id: str) -> list[tuple[str, Any, int]]:
    (run,) = await of.call("GET", f"/threads/{thread_id}/runs")
    (heard,) = await of.rt.store.heard({run["run_id"]: 0}, limit=10_000)
    return [(e.name, orjson.loads(e.data), e.seq) for e in heard.events]


async def stepped(of: Service) -> None:
    """The process has no run of a client's left to step."""
    edge = of.app.state.edge()
    while edge.lines:
        await asyncio.sleep(0.005)


async def status_of(of: Service, thread_id: str) -> str:
    (run,) = await of.call("GET", f"/threads/{thread_id}/runs")
    return str(run["status"])


async def test_a_client_on_the_line_needs_no_worker_and_sees_what_is_stored() -> None:
    of = inline(ticking(4, words=5))
    thread_id = await of.thread()

    async with streamed(of, thread_id) as parts:
        got = await rest(parts)

    seen = [part for part in got if part[2]]
    assert seen == await stored(of, thread_id)
    assert [seq for *_, seq in seen] == list(range(1, 1 + len(seen)))
    assert (got[0][0], got[-1][0]) == ("metadata", "end")
    assert len([name for name, *_ in seen if name == "custom"]) == 20
    assert await status_of(of, thread_id) == "success"


async def test_tokens_arrive_before_they_are_written_in_few_writes() -> None:
    gate, store = asyncio.Event(), Slow()
    of = inline(ticking(1, gate, words=60), store)
    thread_id = await of.thread()

    async with streamed(of, thread_id) as parts:
        async with asyncio.timeout(5):
            while (await parts.get())[0] != "custom":
                pass
        assert store.tells == []  # nothing of it is in the database yet
        gate.set()
        await rest(parts)

    assert sum(store.tells) <= 60
    assert len(store.tells) <= 4  # of a step that took well under a second


async def test_without_the_setting_nothing_is_stepped_here() -> None:
    of = inline(ticking(1), line_seconds=0.0)
    thread_id = await of.thread()
    async with worker(of), streamed(of, thread_id) as parts:
        assert of.app.state.edge().lines == {}
        assert (await rest(parts))[-1][0] == "end"


async def test_wait_is_stepped_where_its_client_waits() -> None:
    of = inline(ticking(3))
    asked = {"assistant_id": "ticking", "input": INPUT}
    path = f"/threads/{await of.thread()}/runs/wait"
    assert await of.call("POST", path, asked) == {"log": ["tick 0", "tick 1", "tick 2"]}


async def test_a_guard_goes_on_if_the_process_dies() -> None:
    gate, store = asyncio.Event(), Slow()
    of = inline(ticking(3, gate), store)
    thread_id = await of.thread()
    async with streamed(of, thread_id) as parts:
        while (await parts.get())[1] != "2.0":
            pass
        await asyncio.sleep(0.02)
        _, dying = next(iter(of.app.state.edge().lines.values()))
        dying.cancel()  # with the last step claimed
        with suppress(asyncio.CancelledError):
            await dying
        assert [sent.job.seq for sent in of.queue.sent] == [0]
        assert await of.queue.receive() is None  # it is not due while the first lease lasts

        gate.set()
        now, lease = of.queue.clock, timedelta(seconds=LEASE)
        of.queue.clock = store.clock = lambda: now() + lease
        await of.work()
        got = await rest(parts)
    assert await status_of(of, thread_id) == "success"
    names = [name for name, *_ in got]
    again = names.index("metadata")  # the step is told again, under numbers nobody has seen
    assert got[again][1]["attempt"] == 2
    assert got[again][2] > SKIPPED
    kept = await stored(of, thread_id)
    assert [data for name, data, _ in kept if name == "custom"] == ["0.0", "1.0", "2.0"]


@pytest.mark.parametrize("broken", [Unavailable("gone"), LostClaim("taken over")])
async def test_what_was_shown_and_never_written_has_nobodys_number(broken: Exception) -> None:
    store = Slow()
    store.broken = broken
    gate = asyncio.Event()
    of = inline(ticking(1, gate, words=60), store)
    thread_id = await of.thread()
    async with streamed(of, thread_id) as parts:
        shown: list[int] = []
        while len(shown) < 3:
            name, _, seq = await parts.get()
            if name == "custom":
                shown.append(seq)
        gate.set()
        await stepped(of)
        assert await stored(of, thread_id) == []
        store.broken = None
        row = store.tables.threads[thread_id]
        row.lease_until = None
        (first,) = of.queue.sent
        await step(first.job, of.rt, time_left=30)
        got = await rest(parts)
    kept = await stored(of, thread_id)
    assert min(seq for *_, seq in kept) > SKIPPED > max(shown)
    assert [p for p in got if p[2] and p[2] > SKIPPED] == kept


async def test_a_client_that_leaves_hands_its_run_over() -> None:
    gate = asyncio.Event()
    of = inline(ticking(2, gate, words=3))
    thread_id = await of.thread()
    async with streamed(of, thread_id) as parts:
        while (await parts.get())[1] != "0.0":
            pass
    async with asyncio.timeout(10):
        await stepped(of)  # the gate in front of the last step is closed: it is not taken here
    due = [sent.job.seq for sent in of.queue.sent if sent.due <= of.queue.clock()]
    assert due == [1]
    gate.set()
    await of.work()
    assert await status_of(of, thread_id) == "success"


async def test_a_short_time_passes_the_run_on() -> None:
    of = inline(ticking(3), line_seconds=LEASE + 0.001)
    thread_id = await of.thread()
    async with streamed(of, thread_id) as parts, asyncio.timeout(10):
        first = await parts.get()
        await stepped(of)
        assert await status_of(of, thread_id) == "running"
        async with worker(of):
            got = [first, *await rest(parts)]
    assert [part for part in got if part[2]] == await stored(of, thread_id)
    assert await status_of(of, thread_id) == "success"


async def test_somebody_elses_claim_is_respected() -> None:
    of = inline(ticking(2))
    thread_id = await of.thread()
    await of.run(thread_id, "ticking", input=INPUT)  # its message is on its way to a worker
    asked = {"multitask_strategy": "enqueue"}
    async with streamed(of, thread_id, **asked) as parts:
        assert of.app.state.edge().lines == {}  # it waits for its turn
        await of.work()
        assert (await rest(parts))[-1][0] == "end"


async def test_a_run_behind_it_is_left_to_workers() -> None:
    gate = asyncio.Event()
    of = inline(ticking(1, gate))
    thread_id = await of.thread()
    async with streamed(of, thread_id) as parts:
        while (await parts.get())[0] != "custom":
            pass
        behind = await of.run(thread_id, "steps", input={"log": ["x"]})
        gate.set()
        await rest(parts)
        await stepped(of)
    found = await of.call("GET", f"/threads/{thread_id}/runs/{behind['run_id']}")
    assert found["status"] == "pending"
    await of.work()
    found = await of.call("GET", f"/threads/{thread_id}/runs/{behind['run_id']}")
    assert found["status"] == "success"


async def test_a_run_of_the_thread_protocol_is_stepped_here_and_written_at_once() -> None:
    gate, store = asyncio.Event(), Slow()
    of = inline(ticking(2, gate, words=3), store)
    thread_id = await of.thread()
    params = {"assistant_id": "ticking", "input": INPUT}
    asked = {"id": 1, "method": "run.start", "params": params}
    started = await of.call("POST", f"/threads/{thread_id}/commands", asked)

    ((run_id, (_, stepping)),) = of.app.state.edge().lines.items()
    assert started["result"] == {"run_id": run_id}
    async with asyncio.timeout(5):
        while not [name for name, *_ in await stored(of, thread_id) if name == "custom"]:
            await asyncio.sleep(0.01)
    gate.set()
    await stepping
    assert await status_of(of, thread_id) == "success"


async def test_in_a_function_nothing_is_stepped_behind_an_answer() -> None:
    of = inline(ticking(1))
    thread_id = await of.thread()
    asked = {"id": 1, "method": "run.start", "params": {"assistant_id": "ticking", "input": INPUT}}

    async def function(scope: Any, receive: Any, send: Any) -> None:
        await of.app({**scope, STREAM_EVENT: {}}, receive, send)

    transport = httpx.ASGITransport(function)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.post(f"/threads/{thread_id}/commands", json=asked)
    assert answer.json()["type"] == "success"
    assert of.app.state.edge().lines == {}
    await of.work()
    assert await status_of(of, thread_id) == "success"


async def test_a_run_that_nobody_follows_is_left_to_workers() -> None:
    of = inline(ticking(1))
    thread_id = await of.thread()
    await of.run(thread_id, "ticking", input=INPUT)
    assert of.app.state.edge().lines == {}
