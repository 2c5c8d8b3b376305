"""Waiting for runs: one poller for all, none for nobody."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from graph.adapters.memory import MemoryStore
from graph.errors import NotFound, Unavailable
from graph.runtime import follow
from graph.runtime.follow import SLOWEST, Follower
from graph.runtime.models import Run, RunStatus
from tests.contracts.builders import OWNER, a_run, a_thread


class Watched(MemoryStore):
    """Notes which runs were asked for; fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.broken = False

    async def runs_by_id(self, run_ids: Sequence[str]) -> list[Run]:
        self.asked.append(list(run_ids))
        await asyncio.sleep(0)  # others come and go while the database thinks
        if self.broken:
            raise Unavailable("gone")
        return await super().runs_by_id(run_ids)

    async def a_run(self) -> Run:
        thread = await self.create_thread(a_thread())
        return (await self.create_run(a_run(thread.thread_id))).run

    async def end(self, run: Run) -> None:
        await self.cancel_run(run.run_id, run.thread_id, OWNER)


@pytest.fixture
def store() -> Watched:
    return Watched()


async def test_a_run_that_has_ended_is_told_at_the_first_look(store: Watched) -> None:
    run = await store.a_run()
    await store.end(run)

    ended = await Follower(store).end_of(run.run_id)

    assert ended.status is RunStatus.INTERRUPTED
    assert store.asked == [[run.run_id]]


async def test_all_who_wait_share_one_statement(store: Watched) -> None:
    follower = Follower(store)
    one, two = await store.a_run(), await store.a_run()
    waiting = [asyncio.create_task(follower.end_of(r.run_id)) for r in (one, one, two)]
    await asyncio.sleep(0.05)
    await store.end(one)
    await store.end(two)

    ended = await asyncio.gather(*waiting)

    assert [run.run_id for run in ended] == [one.run_id, one.run_id, two.run_id]
    assert all(asked == [one.run_id, two.run_id] for asked in store.asked)


async def test_nobody_waiting_means_nobody_looking(store: Watched) -> None:
    follower = Follower(store)
    run = await store.a_run()
    with pytest.raises(TimeoutError):
        await follower.end_of(run.run_id, within=0.02)
    await asyncio.sleep(2 * SLOWEST)
    looks = len(store.asked)

    await asyncio.sleep(2 * SLOWEST)

    assert len(store.asked) == looks


async def test_looks_grow_rarer_while_nothing_changes(store: Watched) -> None:
    run = await store.a_run()

    with pytest.raises(TimeoutError):
        await Follower(store).end_of(run.run_id, within=0.5)

    assert 5 < len(store.asked) < 20


async def test_one_who_gives_up_takes_nobody_along(store: Watched) -> None:
    follower = Follower(store)
    run = await store.a_run()
    patient = asyncio.create_task(follower.end_of(run.run_id))
    with pytest.raises(TimeoutError):
        await follower.end_of(run.run_id, within=0.01)

    await store.end(run)

    assert (await patient).status is RunStatus.INTERRUPTED


async def test_one_who_comes_during_a_look_is_told_by_the_next(store: Watched) -> None:
    follower = Follower(store)
    early, late = await store.a_run(), await store.a_run()
    first = asyncio.create_task(follower.end_of(early.run_id))
    while not store.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(follower.end_of(late.run_id))
    await store.end(early)
    await store.end(late)

    ended = await asyncio.gather(first, second)

    assert [run.run_id for run in ended] == [early.run_id, late.run_id]


async def test_a_run_that_is_deleted_is_not_waited_for(store: Watched) -> None:
    follower = Follower(store)
    run = await store.a_run()
    waiting = asyncio.create_task(follower.end_of(run.run_id))
    await asyncio.sleep(0.02)
    await store.delete_thread(run.thread_id, OWNER)

    with pytest.raises(NotFound):
        await waiting


async def test_all_hear_that_the_database_is_gone_and_the_next_wait_looks_again(
    store: Watched,
) -> None:
    follower = Follower(store)
    run = await store.a_run()
    store.broken = True
    told = await asyncio.gather(
        *(follower.end_of(run.run_id) for _ in range(3)), return_exceptions=True
    )
    store.broken = False
    await store.end(run)

    assert [type(error) for error in told] == [Unavailable] * 3
    assert (await follower.end_of(run.run_id)).status is RunStatus.INTERRUPTED


@dataclass
class Followed:
    """A run that a task of this process steps, and somebody who waits for its end."""

    follower: Follower
    run: Run
    over: asyncio.Event  # ends the task
    task: asyncio.Task[bool]
    waiting: asyncio.Task[Run]


async def stepped_here(store: Watched, monkeypatch: pytest.MonkeyPatch, seldom: float) -> Followed:
    """Looked at so seldom, in seconds, while it is stepped."""
    monkeypatch.setattr(follow, "SELDOM", seldom)
    follower, run, over = Follower(store), await store.a_run(), asyncio.Event()
    task = asyncio.create_task(over.wait())
    follower.stepped_by(task, run.run_id)
    waiting = asyncio.create_task(follower.end_of(run.run_id))
    return Followed(follower, run, over, task, waiting)


async def test_a_run_that_is_stepped_here_is_looked_at_when_that_is_over(
    store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await stepped_here(store, monkeypatch, 60.0)
    await asyncio.sleep(2 * SLOWEST)
    before = len(store.asked)
    await store.end(here.run)
    here.over.set()

    assert (await here.waiting).status is RunStatus.INTERRUPTED
    assert (before, len(store.asked)) == (1, 2)


async def test_one_who_is_stepped_here_does_not_have_others_looked_at_less(
    store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = await stepped_here(store, monkeypatch, 60.0), await store.a_run()
    await asyncio.sleep(2 * SLOWEST)
    second = asyncio.create_task(here.follower.end_of(elsewhere.run_id))
    await asyncio.sleep(2 * SLOWEST)
    await store.end(elsewhere)

    ended = await second

    assert ended.status is RunStatus.INTERRUPTED
    assert all(asked == [elsewhere.run_id] for asked in store.asked[1:])
    await store.end(here.run)
    here.over.set()
    await here.waiting


async def test_a_run_that_somebody_else_ends_while_it_is_stepped_here(
    store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await stepped_here(store, monkeypatch, 0.05)
    await asyncio.sleep(0.02)
    await store.end(here.run)

    assert (await here.waiting).status is RunStatus.INTERRUPTED
    assert not here.task.done()
    here.task.cancel()


async def test_a_run_that_is_passed_on_is_followed_like_any_other(
    store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await stepped_here(store, monkeypatch, 60.0)
    here.over.set()
    await here.task
    await asyncio.sleep(2 * SLOWEST)
    await store.end(here.run)

    assert (await here.waiting).status is RunStatus.INTERRUPTED
