"""Pushing to connections: all of it, in order, once; whoever is slow, gone or dying meanwhile."""

import asyncio
import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from graph.errors import Gone, NotFound, Undelivered
from graph.runtime import sockets
from graph.runtime.batches import BATCH, LONGEST, batches, in_order
from graph.runtime.housekeeping import remind, sweep
from graph.runtime.models import (
    NEVER,
    Claim,
    Connected,
    Ending,
    Event,
    News,
    Notice,
    RunEnd,
    RunStatus,
    StepJob,
    StepResult,
    Subscription,
    Topic,
    Wish,
)
from graph.runtime.runs import stop_run
from graph.runtime.sockets import FAILURES, LEASE, REST, tell_watchers
from tests.contracts.builders import claim_one
from tests.fixtures.around import around
from tests.fixtures.driver import OWNER, Driver
from tests.unit.test_webhooks import COUNTS, Bell, Died


class Phones:
    """A `Gateway` whose clients write down what they hear."""

    def __init__(self) -> None:
        self.heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.messages: dict[str, list[bytes]] = defaultdict(list)
        self.failing: dict[str, Exception] = {}
        self.hanging: dict[str, asyncio.Event] = {}

    async def push(self, connection_id: str, message: bytes) -> None:
        await asyncio.sleep(0)
        if connection_id in self.hanging:
            await self.hanging[connection_id].wait()
        if connection_id in self.failing:
            raise self.failing[connection_id]
        self.messages[connection_id].append(message)
        self.heard[connection_id] += json.loads(message)["frames"]

    def told(self, connection_id: str) -> list[Any]:
        """Events by number, ends of runs by name."""
        return [
            frame["seq"] if frame["method"] != "lifecycle" else frame["params"]["data"]["event"]
            for frame in self.heard[connection_id]
        ]


class Room:
    """A thread that connections follow, moved on by hand."""

    def __init__(self) -> None:
        self.driver = Driver(COUNTS)
        self.driver.clock.now = datetime.now(UTC)
        self.bell = Bell()
        self.rt = self.driver.rt = replace(self.driver.rt, notices=self.bell)
        self.store = self.driver.store
        self.phones = Phones()
        self.thread_id = self.driver.thread_id

    async def begin(self) -> Claim:
        await self.driver.ask({"n": 1})
        return await self.claim()

    async def claim(self) -> Claim:
        thread = await self.driver.thread()
        claim = await claim_one(self.store, StepJob(self.thread_id, thread.seq))
        assert isinstance(claim, Claim)
        return claim

    async def join(self, *names: str, **wish: Any) -> None:
        for name in names:
            await self.store.connect(name, Connected(OWNER), lasts=7200)
            await self.store.subscribe(Wish(name, OWNER, self.thread_id, **wish))
        self.driver.clock.move(0.001)  # a clock that stands still knows no order

    async def tell(
        self, claim: Claim, *data: Any, ending: Ending = Ending.MORE, name: str = "custom"
    ) -> None:
        events = tuple(Event(name, json.dumps(one).encode()) for one in data)
        await self.store.advance(claim, StepResult(ending, events=events))

    async def push(self) -> int:
        return await tell_watchers(self.rt, self.phones, self.thread_id)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "GATHER", 0.005)
    monkeypatch.setattr(sockets, "SLOW", 0.005)


async def test_all_who_follow_are_told_all_in_order_and_once() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("a", "b")
    await room.tell(claim, 1, 2, 3)
    assert await room.push() == 2
    await room.tell(await room.claim(), 4, ending=Ending.DONE)
    await room.push()
    await room.push()
    for name in ("a", "b"):
        assert room.phones.told(name) == [1, 2, 3, 4, "completed"]
    assert len(room.phones.messages["a"]) == 2


async def test_two_who_push_at_once_neither_lose_nor_double_nor_mix_up() -> None:
    room = Room()
    claim = await room.begin()
    names = [f"c{n}" for n in range(20)]
    await room.join(*names)
    for n in range(10):
        await room.tell(claim, n, n)
        await asyncio.gather(room.push(), room.push(), room.push())
        claim = await room.claim()
    for name in names:
        assert room.phones.told(name) == list(range(1, 21))


async def test_what_is_told_while_one_pushes_is_pushed_by_that_one() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("a")
    await room.tell(claim, 1)
    room.phones.hanging["a"] = hold = asyncio.Event()
    first = asyncio.create_task(room.push())
    await asyncio.sleep(0.01)
    await room.tell(await room.claim(), 2)
    assert await room.push() == 0  # it is the first one's, who looks again
    hold.set()
    await first
    assert room.phones.told("a") == [1, 2]


async def test_a_slow_one_holds_nobody_back_and_is_told_all_in_the_end() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("slow", "a")
    room.phones.hanging["slow"] = hold = asyncio.Event()
    await room.tell(claim, 1)
    pushing = asyncio.create_task(room.push())
    for n in (2, 3):
        while len(room.phones.heard["a"]) < n - 1:
            await asyncio.sleep(0.001)
        await room.tell(await room.claim(), n)
    while len(room.phones.heard["a"]) < 3:
        await asyncio.sleep(0.001)
    assert room.phones.told("slow") == []
    hold.set()
    del room.phones.hanging["slow"]
    await pushing
    assert room.phones.told("a") == room.phones.told("slow") == [1, 2, 3]


async def test_one_that_does_not_take_it_rests_and_is_told_from_there() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("a")
    room.phones.failing["a"] = Undelivered("429")
    await room.tell(claim, 1)
    await room.push()
    assert room.bell.rung == [(Notice(Topic.THREAD, room.thread_id), REST)]
    room.phones.failing.clear()
    assert await room.push() == 0
    room.driver.clock.move(REST + 0.1)
    assert await room.push() == 1
    assert room.phones.told("a") == [1]


async def test_one_that_is_gone_or_counts_as_dead_is_forgotten() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("gone", "dead", "a")
    room.phones.failing = {"gone": Gone("410"), "dead": Undelivered("no answer")}
    await room.tell(claim, 1)
    for _ in range(FAILURES):
        await room.push()
        room.driver.clock.move(REST + 0.1)
    for name in ("gone", "dead"):
        with pytest.raises(NotFound):
            await room.store.connected(name)
    assert room.phones.told("a") == [1]


async def test_a_notifier_that_dies_after_a_push_has_it_pushed_again_with_the_same_numbers() -> (
    None
):
    room = Room()
    claim = await room.begin()
    await room.join("a")
    await room.tell(claim, 1)

    async def dies(name: str) -> None:
        if name == "after push":
            raise Died

    alive, room.rt = room.rt, replace(room.rt, cut=dies)
    with pytest.raises(Died):
        await room.push()
    room.rt = alive
    assert await room.push() == 0  # nobody knows yet that it died
    room.driver.clock.move(LEASE + 1)
    assert await remind(room.store, room.bell) == 1
    await room.push()
    assert room.phones.told("a") == [1, 1]


async def test_a_part_that_was_pushed_is_not_pushed_again() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("a")
    wide = "x" * (BATCH // 2)
    await room.tell(claim, wide, wide, wide)

    async def push(taken: Any, connection_id: str, message: bytes) -> None:
        if len(room.phones.messages["a"]) == 1:
            raise Undelivered("429")
        await taken(connection_id, message)

    undo = around(room.phones.push, push)
    await room.push()
    undo()
    room.driver.clock.move(REST + 0.1)
    await room.push()
    assert room.phones.told("a") == [1, 2, 3]


async def test_a_run_is_followed_alone_to_its_end_and_by_channels() -> None:
    room = Room()
    claim = await room.begin()
    assert claim.run is not None
    await room.join("one", run_id=claim.run.run_id)
    await room.join("updates", channels=("updates",))
    await room.tell(claim, 1)
    await room.tell(await room.claim(), 2, name="updates", ending=Ending.FAILED)
    await room.push()
    await room.tell(await room.begin(), 3)
    await room.push()
    assert room.phones.told("one") == [1, 2, "failed"]
    assert room.phones.told("updates") == [2, "failed"]


async def test_a_cancelled_run_is_told_of_at_once() -> None:
    room = Room()
    claim = await room.begin()
    assert claim.run is not None
    await room.join("a")
    await stop_run(room.rt, claim.run.run_id, room.thread_id, OWNER)
    assert (Notice(Topic.THREAD, room.thread_id), 0.0) in room.bell.rung
    await room.push()
    assert room.phones.told("a") == ["interrupted"]


async def test_steps_ring_for_those_who_watch_and_for_nobody_else() -> None:
    room = Room()
    await room.driver.run({"n": 1})
    assert room.bell.rung == []
    await room.join("a")
    await room.driver.run({"n": 1}, stream_mode=["updates"])
    assert set(room.bell.rung) == {(Notice(Topic.THREAD, room.thread_id), 0.0)}
    await room.push()
    assert room.phones.told("a") == [1, "completed"]


async def test_one_that_is_out_of_time_leaves_the_rest_to_another() -> None:
    room = Room()
    claim = await room.begin()
    await room.join("a")
    await room.tell(claim, 1)
    assert await tell_watchers(room.rt, room.phones, room.thread_id, until=0.0) == 0
    assert room.bell.rung == [(Notice(Topic.THREAD, room.thread_id), 0.0)]
    assert await room.push() == 1
    assert room.phones.told("a") == [1]


async def test_the_sweep_forgets_connections_past_their_time() -> None:
    room = Room()
    await room.begin()
    await room.join("a")
    assert (await sweep(room.driver.rt)).disconnected == 0
    room.driver.clock.move(7201)
    assert (await sweep(room.driver.rt)).disconnected == 1


def subscription(**changes: Any) -> Subscription:
    return replace(Subscription("t", "", "c", (), 0, NEVER, 1), **changes)


def told(*data: bytes) -> list[tuple[str, Event]]:
    return [("r", Event("values", one, n)) for n, one in enumerate(data, 1)]


def test_a_message_is_no_longer_than_the_gateway_bills_if_its_events_are_not() -> None:
    made = batches(subscription(), told(*(b'"%b"' % (b"x" * 9000) for _ in range(10))))
    assert [batch.cursor for batch in made] == [3, 6, 9, 10]
    assert all(len(batch.body) <= BATCH for batch in made)


def test_a_long_event_travels_alone_and_one_too_long_is_only_pointed_at() -> None:
    long, longer = b'"%b"' % (b"x" * 100_000), b'"%b"' % (b"x" * LONGEST)
    made = batches(subscription(), told(b"1", long, longer, b"2"))
    assert [batch.cursor for batch in made] == [1, 2, 4]
    assert all(len(batch.body) <= LONGEST for batch in made)
    pointed = json.loads(made[2].body)["frames"][0]
    assert pointed["params"]["data"] is None
    assert pointed["params"]["get"] == "/threads/t/runs/r/stream"
    assert pointed["params"]["headers"] == {"Last-Event-ID": "2"}


def test_names_of_nested_graphs_become_namespaces() -> None:
    (made,) = batches(subscription(), [("r", Event("updates|a:1|b:2", b"{}", 7))])
    (frame,) = json.loads(made.body)["frames"]
    assert (frame["method"], frame["params"]["namespace"], frame["seq"]) == (
        "updates",
        ["a:1", "b:2"],
        7,
    )


def test_an_end_comes_after_all_its_run_told_and_waits_for_the_next_page() -> None:
    ends = tuple(
        RunEnd(run_id, RunStatus.SUCCESS, datetime(2026, 1, n, tzinfo=UTC))
        for n, run_id in enumerate(("quiet", "r", "s"), 1)
    )
    events = tuple((run_id, Event("custom", b"1", n)) for n, run_id in enumerate("rrs", 1))

    def order(news: News) -> list[Any]:
        return [i.run_id if isinstance(i, RunEnd) else i[1].seq for i in in_order(news)]

    assert order(News(3, events, ends)) == ["quiet", 1, 2, "r", 3, "s"]
    assert order(News(3, events, ends, more=True)) == ["quiet", 1, 2, "r", 3]
