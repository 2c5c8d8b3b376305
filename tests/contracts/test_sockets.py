"""Connections: who follows what from where, and that nobody is told by two at once."""

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from graph.errors import Conflict, NotFound
from graph.runtime.models import (
    MOST_SUBSCRIPTIONS,
    Claim,
    Connected,
    Ending,
    Event,
    News,
    StepJob,
    StepResult,
    Subscription,
    Wish,
)
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    MORE,
    OWNER,
    STRANGER,
    a_run,
    claimed,
    later,
    new_thread,
    run_of,
    take,
    thread_name,
)
from tests.contracts.lab import Lab, PostgresLab


@pytest.fixture(autouse=True)
def no_connections(lab: Lab) -> None:
    """The suite's database is emptied of threads only."""
    if isinstance(lab, PostgresLab):
        with psycopg.connect(lab.direct_url) as connection:
            connection.execute("DELETE FROM connections")


def telling(*names: str, ending: Ending = Ending.MORE) -> StepResult:
    return StepResult(ending, events=tuple(Event(name, b"1") for name in names))


async def connected(store: Store, name: str = "c1", owner: str = OWNER) -> str:
    await store.connect(name, Connected(owner), lasts=60)
    return name


async def following(store: Store, thread_id: str, name: str = "c1", **wish: Any) -> int:
    return await store.subscribe(Wish(await connected(store, name), OWNER, thread_id, **wish))


async def due(store: Store, thread_id: str, **when: Any) -> list[Subscription]:
    return await store.due_subscriptions(thread_id, lease=20, limit=100, **when)


async def news(store: Store, one: Subscription, limit: int = 100) -> News:
    return await store.thread_news(
        one.thread_id, after=one.cursor, ended_after=one.ended_after, limit=limit
    )


def told(found: News) -> list[str]:
    return [event.name for _, event in found.events]


async def advanced(store: Store, claim: Claim, result: StepResult) -> bool:
    return (await store.advance(claim, result)).watched


async def next_claim(store: Store, claim: Claim) -> Claim:
    return await take(store, StepJob(claim.thread_id, claim.seq + 1))


async def test_a_connection_is_known_by_its_owner_until_it_ends(store: Store) -> None:
    who = Connected(OWNER, {"identity": "al", "permissions": ["read"]})
    await store.connect("c1", who, lasts=60)
    assert await store.connected("c1") == who
    await store.disconnect(["c1", "unknown"])
    with pytest.raises(NotFound):
        await store.connected("c1")
    await store.connect("c2", who, lasts=-1)
    with pytest.raises(NotFound):
        await store.connected("c2")


async def test_whoever_moves_a_thread_on_knows_that_it_is_watched(store: Store) -> None:
    claim = await claimed(store)
    assert not await advanced(store, claim, MORE)
    await following(store, claim.thread_id)
    claim = await next_claim(store, claim)
    assert await store.tell(claim, [Event("custom", b"1")])
    assert await advanced(store, claim, MORE)
    claim = await next_claim(store, claim)
    assert await advanced(store, claim, DONE)


async def test_a_subscriber_that_meets_a_step_at_the_threads_row_misses_nothing(lab: Lab) -> None:
    for subscriber_first in (True, False):
        claim = await claimed(lab.store)
        await connected(lab.store)
        wish = Wish("c1", OWNER, claim.thread_id, since=0)
        calls = [
            lab.another().subscribe(wish),
            lab.another().advance(claim, telling("a")),
        ]
        answers = await lab.in_order(claim.thread_id, *calls[:: 1 if subscriber_first else -1])
        (step,) = [answer for answer in answers if not isinstance(answer, int)]
        assert step.watched is subscriber_first
        (one,) = await due(lab.store, claim.thread_id)
        assert told(await news(lab.store, one)) == ["a"]


async def test_a_thread_is_followed_from_now_on_or_after_a_number(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, telling("a", "b"))
    assert await following(store, claim.thread_id) == 2
    assert await following(store, claim.thread_id, "c2", since=1) == 1
    assert await following(store, claim.thread_id, "c3", since=99) == 2
    (one,) = await due(store, claim.thread_id)
    assert (one.connection_id, told(await news(store, one))) == ("c2", ["b"])


async def test_a_subscription_is_taken_by_one_and_settled_by_it_alone(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, telling("a"))
    (first,) = await due(store, claim.thread_id)
    assert await due(store, claim.thread_id) == []
    (second,) = await due(store, claim.thread_id, now=later(21))
    await store.settle_subscriptions([replace(first, cursor=1)])
    assert await due(store, claim.thread_id) == []  # still the second's
    await store.settle_subscriptions([replace(second, cursor=1)])
    assert await due(store, claim.thread_id) == []
    claim = await next_claim(store, claim)
    await store.advance(claim, telling("b"))
    (third,) = await due(store, claim.thread_id)
    assert told(await news(store, third)) == ["b"]


async def test_of_many_who_take_them_at_once_each_goes_to_one(lab: Lab) -> None:
    claim = await claimed(lab.store)
    for n in range(20):
        await following(lab.store, claim.thread_id, f"c{n}")
    await lab.store.advance(claim, telling("a"))
    others = [lab.another() for _ in range(4)]
    taken = await asyncio.gather(*(due(store, claim.thread_id) for store in others))
    names = [one.connection_id for part in taken for one in part]
    assert len(names) == len(set(names))
    names += [one.connection_id for one in await due(lab.store, claim.thread_id)]
    assert sorted(names) == sorted(f"c{n}" for n in range(20))


async def test_one_that_rests_is_left_alone_for_a_while(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, telling("a"))
    (one,) = await due(store, claim.thread_id)
    await store.settle_subscriptions([replace(one, failures=1)], rest=30)
    assert await due(store, claim.thread_id, now=later(29)) == []
    (again,) = await due(store, claim.thread_id, now=later(31))
    assert (again.failures, again.cursor) == (1, 0)


async def test_the_end_of_a_run_is_news_though_it_told_nothing(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, DONE)
    (one,) = await due(store, claim.thread_id)
    found = await news(store, one)
    assert [(end.run_id, end.status) for end in found.ends] == [(run_of(claim).run_id, "success")]
    await store.settle_subscriptions([replace(one, ended_after=found.ends[0].ended_at)])
    assert await due(store, claim.thread_id) == []


async def test_who_comes_back_is_told_the_ends_it_may_have_missed(store: Store) -> None:
    thread_id = await new_thread(store)
    runs = []
    for name in ("a", "b"):
        claim = await claimed(store, thread_id)
        await store.advance(claim, telling(name, ending=Ending.DONE))
        runs.append(run_of(claim).run_id)
    await following(store, thread_id, since=2)
    (one,) = await due(store, thread_id)
    found = await news(store, one)
    assert (told(found), [end.run_id for end in found.ends]) == ([], runs[1:])


async def test_one_run_is_followed_from_its_start_and_left_when_it_is_over(store: Store) -> None:
    claim = await claimed(store)
    run_id = run_of(claim).run_id
    await store.advance(claim, telling("a"))
    assert await following(store, claim.thread_id, run_id=run_id) == 0
    claim = await next_claim(store, claim)
    await store.advance(claim, telling("b", ending=Ending.DONE))
    (one,) = await due(store, claim.thread_id)
    found = await news(store, one)
    assert (told(found), [end.run_id for end in found.ends]) == (["a", "b"], [run_id])
    await store.settle_subscriptions([replace(one, over=True)])
    await store.advance(await claimed(store, claim.thread_id), telling("c"))
    assert await due(store, claim.thread_id) == []


async def test_a_run_that_ended_long_ago_is_told_at_once(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, telling("a", ending=Ending.DONE))
    await following(store, claim.thread_id, run_id=run_of(claim).run_id)
    (one,) = await due(store, claim.thread_id)
    found = await news(store, one)
    assert (told(found), len(found.ends)) == (["a"], 1)


async def test_much_news_comes_a_page_at_a_time(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, telling("a", "b", "c", ending=Ending.DONE))
    (one,) = await due(store, claim.thread_id)
    page = await news(store, one, limit=2)
    assert (told(page), page.upto, page.more) == (["a", "b"], 2, True)
    rest = await news(store, replace(one, cursor=2), limit=2)
    assert (told(rest), rest.upto, rest.more) == (["c"], 3, False)


async def test_nobody_follows_what_is_not_theirs(store: Store) -> None:
    claim = await claimed(store)
    await connected(store, "c1", STRANGER)
    await connected(store, "c2")
    for wish in (
        Wish("c1", STRANGER, claim.thread_id),
        Wish("c1", OWNER, claim.thread_id),
        Wish("c2", OWNER, thread_name()),
        Wish("c2", OWNER, claim.thread_id, run_id="unknown"),
        Wish("gone", OWNER, claim.thread_id),
    ):
        with pytest.raises(NotFound):
            await store.subscribe(wish)
    assert not await advanced(store, claim, telling("a"))


async def test_a_connection_follows_no_more_than_so_much(store: Store) -> None:
    claim = await claimed(store)
    runs = [(await store.create_run(a_run(claim.thread_id))).run.run_id for _ in range(3)]
    await connected(store)
    for _ in range(MOST_SUBSCRIPTIONS - 1):
        await store.subscribe(Wish("c1", OWNER, await new_thread(store)))
    await store.subscribe(Wish("c1", OWNER, claim.thread_id, run_id=runs[0]))
    with pytest.raises(Conflict, match="at most"):
        await store.subscribe(Wish("c1", OWNER, claim.thread_id, run_id=runs[1]))


async def test_who_leaves_is_told_nothing_and_the_thread_is_no_longer_watched(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await following(store, claim.thread_id, "c2")
    await store.unsubscribe("c1", claim.thread_id)
    await store.disconnect(["c2"])
    assert await advanced(store, claim, telling("a"))
    assert await due(store, claim.thread_id) == []
    claim = await next_claim(store, claim)
    assert not await advanced(store, claim, telling("b"))


async def test_who_comes_as_the_last_one_leaves_is_still_told(lab: Lab) -> None:
    claim = await claimed(lab.store)
    await following(lab.store, claim.thread_id)
    await lab.store.unsubscribe("c1", claim.thread_id)
    wish = Wish("c1", OWNER, claim.thread_id)
    await lab.in_order(
        claim.thread_id, lab.another().subscribe(wish), due(lab.another(), claim.thread_id)
    )
    assert await advanced(lab.store, claim, telling("a"))


async def test_what_outlived_its_time_is_told_nothing_and_swept_away(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, telling("a"))
    assert await due(store, claim.thread_id, now=later(61)) == []
    assert await store.expire_connections(limit=10) == 0
    assert await store.expire_connections(limit=10, now=later(61)) == 1
    assert await due(store, claim.thread_id) == []


async def test_what_was_not_passed_on_is_overdue_after_a_while(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, telling("a"))
    expected = [(claim.thread_id, OWNER)]
    assert await store.overdue_subscriptions(grace=15, limit=10) == []
    assert await store.overdue_subscriptions(grace=15, limit=10, now=later(16)) == expected
    (one,) = await due(store, claim.thread_id)
    assert await store.overdue_subscriptions(grace=15, limit=10, now=later(16)) == []
    assert await store.overdue_subscriptions(grace=15, limit=10, now=later(21)) == expected
    await store.settle_subscriptions([replace(one, cursor=1)])
    assert await store.overdue_subscriptions(grace=15, limit=10, now=later(60)) == []


async def test_a_subscription_is_gone_with_its_thread(store: Store) -> None:
    claim = await claimed(store)
    await following(store, claim.thread_id)
    await store.advance(claim, telling("a", ending=Ending.DONE))
    await store.delete_thread(claim.thread_id, OWNER)
    assert await due(store, claim.thread_id) == []
    assert await store.overdue_subscriptions(grace=0, limit=10, now=later(60)) == []
