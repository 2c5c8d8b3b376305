"""Everything sealed anew: resumed after a kill, beside running steps, and done once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from graph.adapters.postgres import PostgresStore
from graph.adapters.sealing import NO_KEYS, Keys, rotation
from graph.adapters.sealing.columns import TABLES
from graph.adapters.sealing.rotation import rotate
from graph.errors import KeyMissing
from infra.local.cli import main
from tests.fixtures.canaries import CANARY, found_in, sing
from tests.fixtures.keys import a_ring, listed
from tests.fixtures.service import worker
from tests.integration.test_sealed import HASHED, SEALED, Sealed

Rotated = tuple[int, Counter[str]]


async def rotated(url: str, keys: Keys, **options: Any) -> Rotated:
    """How many rows were changed, and what is left."""
    store, changed, left = PostgresStore(url, keys=keys), Counter[str](), Counter[str]()
    try:
        by_table = {walked.table: walked async for walked in rotate(store.db, **options)}
    finally:
        await store.close()
    for walked in by_table.values():
        changed[walked.table] += walked.changed
        left += walked.left
    return changed.total(), left


async def seen(url: str, keys: Keys, made: dict[str, str]) -> list[Any]:
    """All that clients see with these keys."""
    async with Sealed(url, keys) as behind:
        threads = [await behind.seen(made[name]) for name in ("thread", "failed", "copied")]
        searches = [
            await behind.call("POST", f"/{kind}/search", {"metadata": {"who": CANARY}})
            for kind in ("threads", "assistants", "runs/crons")
        ]
        items = await behind.call(
            "POST", "/store/items/search", {"filter": {"text": f"{CANARY} item"}}
        )
        assert all(searches)
        assert items["items"]
        return [threads, searches, items]


async def test_keys_are_turned_on_changed_and_turned_off(
    database_url: str, direct_url: str
) -> None:
    async with Sealed(database_url, NO_KEYS) as behind:
        made = await sing(behind, "default")
    clear = await seen(database_url, NO_KEYS, made)

    for keys in (a_ring("k1"), a_ring("k2", "k1")):
        assert await seen(database_url, keys, made) == clear  # of rows that older keys sealed
        changed, left = await rotated(database_url, keys)
        assert (changed > len(TABLES), left) == (True, Counter())
        assert await rotated(database_url, keys) == (0, Counter())
        assert found_in(direct_url) == set()
        assert await seen(database_url, keys, made) == clear
    assert await seen(database_url, a_ring("k2"), made) == clear
    async with Sealed(database_url, a_ring("k1")) as behind:
        with pytest.raises(KeyMissing, match="'k2'"):
            await behind.rt.store.get_thread(made["thread"], "default")

    assert (await rotated(database_url, a_ring("plain", "k2")))[1] == Counter()
    assert found_in(direct_url) == SEALED - HASHED
    assert await seen(database_url, NO_KEYS, made) == clear


async def test_after_a_kill_it_goes_on_with_what_is_left(
    database_url: str, direct_url: str
) -> None:
    async with Sealed(database_url, a_ring("k1")) as behind:
        made = await sing(behind, "default")
    keys, before = a_ring("k2", "k1"), await seen(database_url, a_ring("k1"), made)
    done = 0
    for killed_after in (3, 7, 12):
        async for changed in _batches(database_url, keys, stop_after=killed_after):
            done += changed
    changed, left = await rotated(database_url, keys, batch=2)
    assert (left, changed > 0, done > 0) == (Counter(), True, True)
    assert await rotated(database_url, keys) == (0, Counter())
    assert await seen(database_url, a_ring("k2"), made) == before


async def _batches(url: str, keys: Keys, *, stop_after: int) -> AsyncIterator[int]:
    store, known, number = PostgresStore(url, keys=keys), Counter[str](), 0
    batches = rotate(store.db, batch=2)
    while number < stop_after:
        walked = await anext(batches)
        yield walked.changed - known[walked.table]
        known[walked.table] = walked.changed
        number += 1
    await batches.aclose()
    await store.close()


async def test_steps_go_on_beside_it_and_lose_nothing(database_url: str) -> None:
    async with Sealed(database_url, a_ring("k1", "k2")) as behind, worker(behind):
        threads = [await behind.thread(metadata={"turn": 0}) for _ in range(4)]
        over = asyncio.Event()

        async def rotating() -> int:
            rounds = 0
            while not over.is_set():
                keys = a_ring(*(("k2", "k1") if rounds % 2 else ("k1", "k2")))
                await rotated(database_url, keys, batch=3)
                rounds += 1
            return rounds

        async def talking(thread_id: str) -> None:
            for turn in range(1, 6):
                asked = {"assistant_id": "steps", "input": {"log": [f"turn {turn}"]}}
                await behind.call("POST", f"/threads/{thread_id}/runs/wait", asked)
                await behind.call("PATCH", f"/threads/{thread_id}", {"metadata": {"turn": turn}})

        beside = asyncio.create_task(rotating())
        await asyncio.gather(*map(talking, threads))
        over.set()
        assert await beside > 1
        for thread_id in threads:
            state = await behind.call("GET", f"/threads/{thread_id}/state")
            said = [line for turn in range(1, 6) for line in (f"turn {turn}", "a", "b", "c")]
            assert state["values"]["log"] == said
            thread = await behind.call("GET", f"/threads/{thread_id}")
            assert thread["metadata"]["turn"] == 5


async def test_a_row_that_is_changed_or_held_meanwhile_is_left(
    database_url: str, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(database_url)
    async with Sealed(database_url, NO_KEYS) as behind:
        held, changed, idle = [await behind.thread(metadata={"n": n}) for n in range(3)]
    read = rotation._read

    async def read_before_it_changes(*args: Any) -> Any:
        rows = await read(*args)
        await store.update_thread(changed, "default", metadata={"n": 9})
        return rows

    monkeypatch.setattr(rotation, "_read", read_before_it_changes)
    async with await psycopg.AsyncConnection.connect(direct_url) as holder:
        await holder.execute("SELECT FROM threads WHERE thread_id = %s FOR UPDATE", [held])
        assert await rotated(database_url, a_ring("k1"), tables=["threads"]) == (
            1,
            Counter(plain=2),
        )
    monkeypatch.undo()
    assert await rotated(database_url, a_ring("k1")) == (2, Counter())
    sealed = PostgresStore(database_url, keys=a_ring("k1"))
    numbers = [(await sealed.get_thread(t, "default")).metadata["n"] for t in (held, changed, idle)]
    assert numbers == [0, 9, 2]
    await store.close()
    await sealed.close()


async def test_rows_of_a_key_that_is_gone_are_counted_and_the_others_done(
    database_url: str,
) -> None:
    for key_id in ("lost", "k1"):
        async with Sealed(database_url, a_ring(key_id)) as behind:
            await behind.thread(metadata={"who": CANARY})
    changed, left = await rotated(database_url, a_ring("k2", "k1"))
    assert (changed, left) == (1, Counter(lost=1))


def encryption(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["encryption", *arguments], env={"ENCRYPTION_KEYS": None})
    assert result.exit_code == status, result.output
    return str(result.output)


def test_the_command_makes_keys_and_says_what_it_did_and_what_is_left(database_url: str) -> None:
    made = encryption("key", "mine").strip()
    assert made.startswith("mine:")
    assert "begin with an id" in encryption("key", "My Key", status=2)
    at = ("rotate", "--database-url", database_url, "--encryption-keys")
    assert "threads: 0 sealed anew, 0 left" in encryption(*at, made)
    asyncio.run(_one_thread(database_url, a_ring("lost")))
    said = encryption(*at, made, status=1)
    assert "threads: 0 sealed anew, 1 left" in said
    assert "left: 1 rows, lost" in said
    assert "1 sealed anew" in encryption(*at, f"{made},{listed('lost')}")
    assert "there are no keys" in encryption(*at, "", status=2)
    assert "not base64" in encryption(*at, "k1:??", status=1)


async def _one_thread(url: str, keys: Keys) -> None:
    async with Sealed(url, keys) as behind:
        await behind.thread(metadata={"who": CANARY})
