"""Buckets of model calls: shared, never overdrawn by two at once, fair to those who wait."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from graph.calls import Turn, Wish
from graph.runtime.ports import Store
from tests.contracts.lab import Lab

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def wish(*names: str, cost: float = 1.0, cap: float = 3.0, left: float = 0.0) -> Wish:
    """Of a bucket that gains one a second, in two dimensions of which the first counts."""
    return Wish(names, (cap, 1e6), (1.0, 1e6), (cost, 1.0), (min(cost + left, cap), 1.0))


def name() -> str:
    return str(uuid4())


async def ask(store: Store, wanted: Wish, seconds: float = 0.0) -> Turn:
    return await store.reserve(wanted, now=NOW + timedelta(seconds=seconds))


async def test_a_bucket_grants_what_it_holds_and_what_it_gains(store: Store) -> None:
    wanted = wish(name())
    turns = [await ask(store, wanted) for _ in range(4)]
    assert [turn.bucket is not None for turn in turns] == [True, True, True, False]
    assert [turn.room[0] for turn in turns[:3]] == [2, 1, 0]
    assert turns[3].wait == pytest.approx(2)  # a second for what is short, one to be the first
    assert (await ask(store, wanted, 1)).bucket
    assert not (await ask(store, wanted, 1.5)).bucket
    assert (await ask(store, wanted, 100)).room[0] == pytest.approx(2)  # never more than it holds


async def test_those_who_are_refused_are_given_times_one_after_the_other(store: Store) -> None:
    wanted = wish(name())
    for _ in range(3):
        await ask(store, wanted)
    waits = [(await ask(store, wanted)).wait for _ in range(4)]
    assert waits == [pytest.approx(2), pytest.approx(3), pytest.approx(4), pytest.approx(5)]


async def test_of_several_keys_the_one_with_most_room_is_taken(store: Store) -> None:
    one, other = name(), name()
    await ask(store, wish(one, cost=2))
    taken = [(await ask(store, wish(one, other))).bucket for _ in range(5)]
    assert taken[:2] == [other, other]
    assert sorted(map(str, taken[2:4])) == sorted([one, other])
    assert taken[4] is None


async def test_a_call_that_is_larger_than_the_bucket_waits_until_it_is_full(store: Store) -> None:
    large = wish(name(), cost=10)
    assert (await ask(store, large)).room[0] == -7
    assert not (await ask(store, large, 9)).bucket
    assert (await ask(store, large, 10)).bucket


async def test_what_is_in_the_background_leaves_some_to_others(store: Store) -> None:
    bucket = name()
    assert (await ask(store, wish(bucket, left=2))).bucket
    assert not (await ask(store, wish(bucket, left=2))).bucket
    assert (await ask(store, wish(bucket))).bucket


async def test_a_reservation_is_settled_for_what_was_used(store: Store) -> None:
    wanted = wish(name(), cost=3)
    bucket = (await ask(store, wanted)).bucket
    assert bucket
    await store.settle(bucket, (-2.0, 0.0))
    assert (await ask(store, wish(bucket, cost=2))).room[0] == 0
    await store.settle(bucket, (5.0, 0.0))
    assert not (await ask(store, wish(bucket), 5)).bucket
    assert (await ask(store, wish(bucket), 6)).bucket


async def test_a_bucket_is_paused_while_the_api_says_so(store: Store) -> None:
    one, other = name(), name()
    assert (await store.reserve(wish(one))).bucket
    await store.settle(one, (0.0, 0.0), pause=60)
    await store.settle(one, (0.0, 0.0), pause=5)  # the longer one counts
    assert (await store.reserve(wish(one, other))).bucket == other
    refused = await store.reserve(wish(one))
    assert refused.bucket is None
    assert 59 < refused.wait < 62


async def test_all_at_once_take_no_more_than_there_is(lab: Lab) -> None:
    stores = [lab.another() for _ in range(8)]
    wanted = wish(name(), cap=20)
    calls: list[Any] = [store.reserve(wanted, now=NOW) for store in stores for _ in range(5)]
    turns = await asyncio.gather(*calls)
    assert sum(turn.bucket is not None for turn in turns) == 20
    assert all(turn.wait > 0 for turn in turns if turn.bucket is None)


async def test_a_clock_that_goes_back_gives_nothing_away(store: Store) -> None:
    wanted = wish(name())
    for _ in range(3):
        await ask(store, wanted, 10)
    assert not (await ask(store, wanted, 5)).bucket
