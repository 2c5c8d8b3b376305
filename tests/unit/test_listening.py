"""Following what runs tell: one poller for all readers, and a story with an end."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from graph.adapters.memory import MemoryQueue, MemoryStore
from graph.errors import NotFound, Unavailable
from graph.runtime import telling
from graph.runtime.engine import Runtime
from graph.runtime.heard import Heard
from graph.runtime.listening import SLOWEST, Listener
from graph.runtime.models import Claim, Ending, Event, Run, StepResult
from graph.runtime.telling import Reading, told
from tests.contracts.builders import OWNER, claimed, run_of
from tests.fixtures.driver import Loaded

LOGGED = {"stream_mode": ["values"]}


class Watched(MemoryStore):
    """Notes what was asked for; fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, int]] = []
        self.broken = False

    async def heard(self, after: Mapping[str, int], *, limit: int = 100) -> list[Heard]:
        self.asked.append(dict(after))
        await asyncio.sleep(0)  # others come and go while the database thinks
        if self.broken:
            raise Unavailable("gone")
        return await super().heard(after, limit=limit)

    async def say(self, claim: Claim, *names: str) -> None:
        await self.tell(claim, [Event(name, b"1") for name in names])


@pytest.fixture
def store() -> Watched:
    return Watched()


async def test_what_is_there_is_heard_at_the_first_look(store: Watched) -> None:
    claim = await claimed(store)
    await store.say(claim, "a", "b")
    run_id = run_of(claim).run_id

    heard = await Listener(store).after(run_id, 1, within=1)

    assert [event.name for event in heard.events] == ["b"]
    assert store.asked == [{run_id: 1}]


async def test_all_readers_share_one_statement_from_the_one_furthest_behind(
    store: Watched,
) -> None:
    claim, other = await claimed(store), await claimed(store)
    one, two = run_of(claim).run_id, run_of(other).run_id
    await store.say(claim, "a", "b")
    await store.say(other, "c")
    listener = Listener(store)

    found = await asyncio.gather(
        *(listener.after(*at, within=1) for at in ((one, 0), (one, 1), (two, 0)))
    )

    assert [[e.name for e in heard.events] for heard in found] == [["a", "b"], ["b"], ["c"]]
    assert store.asked == [{one: 0, two: 0}]


async def test_a_reader_is_told_soon_after_the_step(store: Watched) -> None:
    claim = await claimed(store)
    listener = Listener(store)
    waiting = asyncio.create_task(listener.after(run_of(claim).run_id, 0, within=5))
    await asyncio.sleep(0.3)  # long enough for the looks to have grown rare

    said = time.monotonic()
    await store.say(claim, "a")
    await waiting

    assert time.monotonic() - said < 2 * SLOWEST


async def test_nobody_listening_means_nobody_looking(store: Watched) -> None:
    claim = await claimed(store)
    with pytest.raises(TimeoutError):
        await Listener(store).after(run_of(claim).run_id, 0, within=0.02)
    await asyncio.sleep(2 * SLOWEST)
    looks = len(store.asked)
    await asyncio.sleep(3 * SLOWEST)
    assert len(store.asked) == looks


async def test_readers_hear_of_a_broken_store_and_the_next_one_is_served(store: Watched) -> None:
    claim = await claimed(store)
    run_id, listener = run_of(claim).run_id, Listener(store)
    store.broken = True
    with pytest.raises(Unavailable):
        await listener.after(run_id, 0, within=1)
    store.broken = False
    await store.say(claim, "a")
    assert (await listener.after(run_id, 0, within=1)).events


async def test_a_run_that_does_not_exist_is_said_so(store: Watched) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await Listener(store).after("nobody", 0, within=1)


async def story(store: Watched, run: Run, **reading: Any) -> list[tuple[str, Any, int]]:
    rt = Runtime(store, MemoryQueue(), Loaded({}))
    events = [e async for e in told(rt, Listener(store), run, Reading(**reading))]
    return [(e.name, orjson.loads(e.data), e.seq) if e else ("beat", None, 0) for e in events]


async def ended(
    store: Watched, *names: str, ending: Ending = Ending.DONE, **kwargs: Any
) -> tuple[Run, dict[str, Any]]:
    claim = await claimed(store, kwargs=kwargs or LOGGED)
    await store.say(claim, *names)
    error = {"error": "ValueError", "message": "as told"} if ending is Ending.FAILED else None
    await store.advance(claim, StepResult(ending, error=error))
    return run_of(claim), {"run_id": run_of(claim).run_id, "attempt": 1}


async def test_a_story_begins_with_metadata_and_ends_with_end(store: Watched) -> None:
    run, metadata = await ended(store, "values", "values")
    assert await story(store, run) == [
        ("metadata", metadata, 0),
        ("values", 1, 1),
        ("values", 1, 2),
        ("end", None, 0),
    ]


async def test_a_reader_that_comes_back_gets_the_rest(store: Watched) -> None:
    run, _ = await ended(store, "values", "values")
    assert await story(store, run, after=1) == [("values", 1, 2), ("end", None, 0)]
    assert await story(store, run, after=2) == [("end", None, 0)]


async def test_a_story_of_more_than_a_page(store: Watched) -> None:
    run, _ = await ended(store, *("values" for _ in range(250)))
    assert [seq for name, _, seq in await story(store, run) if name == "values"] == [*range(1, 251)]


async def test_a_failure_is_told_before_the_end(store: Watched) -> None:
    run, _ = await ended(store, "values", ending=Ending.FAILED)
    error = {"error": "ValueError", "message": "as told"}
    assert (await story(store, run, after=1)) == [("error", error, 0), ("end", None, 0)]


async def test_a_cancelled_run_ends(store: Watched) -> None:
    claim = await claimed(store, kwargs=LOGGED)
    await store.cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert [name for name, _, _ in await story(store, run_of(claim))] == ["metadata", "end"]


async def test_a_run_without_a_log_still_tells_its_final_state(store: Watched) -> None:
    run, _ = await ended(store, input={})
    assert await story(store, run, after=0) == [("values", {}, 0), ("end", None, 0)]
    assert await story(store, run, after=0, modes=["updates"]) == [("end", None, 0)]


@pytest.mark.parametrize(
    ("modes", "names"),
    [
        (["values"], ["values", "values|child:1"]),
        (["messages"], ["messages/partial", "messages|child:1"]),
        (["messages-tuple"], ["messages|child:1"]),
        (["custom", "updates"], ["updates"]),
        ([], []),
    ],
    ids=str,
)
async def test_a_filter_lets_through_what_was_asked_for(
    store: Watched, modes: list[str], names: list[str]
) -> None:
    kinds = ["values", "messages/partial", "updates", "values|child:1", "messages|child:1"]
    run, _ = await ended(store, *kinds)
    told = [name for name, _, _ in await story(store, run, modes=modes)]
    assert told == ["metadata", *names, "end"]


async def test_silence_is_a_heartbeat(store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "HEARTBEAT", 0.02)
    claim = await claimed(store, kwargs=LOGGED)
    until = time.monotonic() + 0.1
    names = [name for name, _, _ in await story(store, run_of(claim), after=0, until=until)]
    assert set(names) == {"beat"}
    assert 2 <= len(names) <= 6


async def test_a_run_deleted_under_its_reader_ends(store: Watched) -> None:
    claim = await claimed(store, kwargs=LOGGED)
    reading = asyncio.create_task(story(store, run_of(claim), after=0))
    await asyncio.sleep(0.03)
    await store.delete_thread(claim.thread_id, OWNER)
    assert await reading == [("end", None, 0)]
