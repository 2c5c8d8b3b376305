"""API keys, and what an owner may use: on every store alike."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from graph.errors import BadInput
from graph.runtime.keys import Keyring, new_key
from graph.runtime.ports import Store
from tests.contracts.at_once import both
from tests.contracts.lab import Lab

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def nobody() -> str:
    """An owner no other test uses: keys and turns are no thread's."""
    return f"owner-{uuid4()}"


async def test_a_key_is_found_by_its_text_and_by_nothing_else(store: Store) -> None:
    text, key = new_key(nobody(), name="laptop")
    await store.add_key(key)
    ring = Keyring(store)

    found = await ring.find(text)

    assert found is not None
    assert (found.owner, found.name) == (key.owner, "laptop")
    for wrong in ("", "baton_", text[:-1] + ("A" if text[-1] != "A" else "B"), text + "x", "ö"):
        assert await ring.find(wrong) is None


async def test_the_text_is_kept_nowhere(store: Store) -> None:
    text, key = new_key(nobody())
    await store.add_key(key)
    (kept,) = await store.list_keys(key.owner)
    assert text.split("_", 2)[2] not in repr(kept)


async def test_an_owner_has_several_keys_and_each_ends_alone(store: Store) -> None:
    owner = nobody()
    (old, a), (new, b) = new_key(owner), new_key(owner)
    await store.add_key(a)
    await store.add_key(b)

    ended = await store.end_key(a.key_id)

    assert ended is not None
    assert [k.key_id for k in await store.list_keys(owner)] == [a.key_id, b.key_id]
    assert await Keyring(store).find(old) is None
    assert await Keyring(store).find(new) is not None


async def test_a_key_that_ends_later_works_until_then(store: Store) -> None:
    text, key = new_key(nobody())
    await store.add_key(key)
    await store.end_key(key.key_id, after=3600)
    later = datetime.now(UTC) + timedelta(hours=2)
    assert await store.use_key(key.key_id, key.digest) is not None
    assert await store.use_key(key.key_id, key.digest, now=later) is None
    assert text


async def test_ending_again_never_makes_it_last_longer(store: Store) -> None:
    _, key = new_key(nobody())
    await store.add_key(key)
    first = await store.end_key(key.key_id)
    again = await store.end_key(key.key_id, after=3600)
    assert first is not None
    assert again is not None
    assert again.expires_at == first.expires_at
    assert await store.end_key("0" * 16) is None


async def test_its_use_is_noted_once_an_hour_and_never_for_a_wrong_secret(store: Store) -> None:
    _, key = new_key(nobody())
    await store.add_key(key)
    seen = []
    for minutes, digest in [(0, b"guess"), (1, key.digest), (30, key.digest), (61, key.digest)]:
        await store.use_key(key.key_id, digest, now=NOW + timedelta(minutes=minutes))
        (kept,) = await store.list_keys(key.owner)
        seen.append(kept.last_used_at and (kept.last_used_at - NOW) / timedelta(minutes=1))
    assert seen == [None, 1, 1, 61]


async def test_a_verified_key_is_remembered_for_a_short_time_only(store: Store) -> None:
    text, key = new_key(nobody())
    await store.add_key(key)
    now = datetime.now(UTC)
    ring = Keyring(store, remembers=30, clock=lambda: now)
    assert await ring.find(text) is not None
    await store.end_key(key.key_id)
    now += timedelta(seconds=29)
    assert await ring.find(text) is not None
    now += timedelta(seconds=1)
    assert await ring.find(text) is None


async def test_it_is_not_remembered_beyond_its_own_end(store: Store) -> None:
    text, key = new_key(nobody(), lasts=timedelta(seconds=10))
    await store.add_key(key)
    now = datetime.now(UTC)
    ring = Keyring(store, remembers=30, clock=lambda: now)
    assert await ring.find(text) is not None
    await store.end_key(key.key_id)
    now += timedelta(seconds=11)
    assert await ring.find(text) is None


@pytest.mark.parametrize("owner", ["", "a" * 201, "line\nbreak", "nul\0"])
def test_an_owner_that_rows_could_not_carry(owner: str) -> None:
    with pytest.raises(BadInput, match="printable"):
        new_key(owner)


async def test_a_bucket_gives_its_burst_then_one_turn_at_a_time(store: Store) -> None:
    owner = nobody()

    async def turn(seconds: float) -> float:
        return await store.take_turn(owner, every=2, burst=3, now=NOW + timedelta(seconds=seconds))

    assert [await turn(0) for _ in range(3)] == [0, 0, 0]
    assert [await turn(0), await turn(0.5)] == pytest.approx([2, 1.5])
    assert [await turn(2), await turn(2)] == pytest.approx([0, 2])
    assert [await turn(100) for _ in range(4)] == pytest.approx([0, 0, 0, 2])


async def test_owners_have_buckets_of_their_own(store: Store) -> None:
    one, other = nobody(), nobody()
    assert await store.take_turn(one, every=60, burst=1, now=NOW) == 0
    assert await store.take_turn(one, every=60, burst=1, now=NOW) == pytest.approx(60)
    assert await store.take_turn(other, every=60, burst=1, now=NOW) == 0


async def test_requests_at_once_share_one_bucket(lab: Lab) -> None:
    owner = nobody()
    stores = [lab.another() for _ in range(6)]
    waits = await both(*(s.take_turn(owner, every=60, burst=4) for s in stores))
    assert sorted(wait > 0 for wait in waits) == [False] * 4 + [True] * 2
