"""How much of a thread's history is kept: what the walk finds, what thinning drops."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from graph.adapters.memory import MemoryStore
from graph.runtime.models import Assistant, CheckpointRow, Ending, Rows, StepJob, Thinned
from graph.runtime.ports import Store
from graph.runtime.retention import LATEST, keep_latest
from tests.contracts.builders import (
    OWNER,
    STRANGER,
    a_run,
    blob,
    checkpoint,
    claimed,
    dump,
    ids,
    later,
    new_thread,
    newest,
    plain,
    put_all,
    rows_of,
    run_of,
    started,
    step_to,
    stepped,
    take,
    thread_name,
    write,
)
from tests.contracts.lab import Lab

HOUR = 3600.0
DELTA = {"counters_since_delta_snapshot": {"messages": [3, 3]}}


def of_root(root: str) -> dict[str, object]:
    return {"source": "loop", "parents": {"": root}}


async def worn(store: Store, keep: str, *, limit: int = 100, window: int = 1000) -> dict[str, str]:
    return dict(await store.worn_threads(keep, window=window, limit=limit))


async def thinned(store: Store, thread_id: str, keep: str, **more: Any) -> list[str]:
    """What is left of a thread's root checkpoints."""
    await store.thin({thread_id: keep}, limit=1000, **more)
    return await ids(store, thread_id)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (LATEST, ["c5"]),
        ("1", ["c5"]),
        ("2", ["c5", "c4"]),
        ("run", ["c5", "c3"]),
        ("9", ["c5", "c4", "c3", "c2", "c1"]),
    ],
)
async def test_a_thread_keeps_as_much_as_it_is_told(
    store: Store, keep: str, left: list[str]
) -> None:
    thread_id, other = await stepped(store, "c1", "c2", "c3"), await stepped(store, "c1", "c2")
    await stepped(store, "c4", "c5", thread_id=thread_id)
    untouched = await dump(store, other)
    kept = [plain(await store.load(thread_id, "", c)) for c in left]
    assert await thinned(store, thread_id, keep) == left
    assert [plain(stored) for _, stored in await store.history(thread_id, None)] == kept
    assert await dump(store, other) == untouched
    assert (await store.get_thread(thread_id, OWNER)).head == "c5"


async def test_an_edit_counts_as_a_run_of_its_own(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await put_all(store, thread_id, checkpoint("e1"), checkpoint("e2"))
    assert await thinned(store, thread_id, "run") == ["e2", "e1", "c2"]


async def test_what_went_leaves_no_writes_and_values_behind(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await thinned(store, thread_id, "1")
    await store.put(thread_id, Rows(checkpoints=rows_of("c1").checkpoints))
    assert plain(await store.load(thread_id, "", "c1"))[1:] == ({}, [])


async def test_a_value_that_a_survivor_shares_stays(store: Store) -> None:
    thread_id, shared = thread_name(), blob("shared")
    for name in ("c1", "c2"):
        row = checkpoint(name, blob_ids=(shared.blob_id,))
        await store.put(thread_id, Rows((row,), (shared,), (write(name),)))
    await thinned(store, thread_id, "1")
    _, blobs, writes = plain(await store.load(thread_id, "", "c2"))
    assert (list(blobs.values()), len(writes)) == ([shared], 1)


async def test_a_thinned_thread_goes_on_where_it_was(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await thinned(store, thread_id, "1")
    claim = await claimed(store, thread_id)
    assert (claim.head, claim.seq) == ("c2", 2)
    await store.advance(claim, step_to("c3"))
    assert await ids(store, thread_id) == ["c3", "c2"]


async def test_the_checkpoint_that_a_run_named_to_start_from_stays(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2", "c3")
    claim = await claimed(store, thread_id, kwargs={"checkpoint_id": "c1"})
    await store.advance(claim, step_to("c4", Ending.DONE))
    assert await thinned(store, thread_id, "1") == ["c4", "c1"]
    assert await thinned(store, thread_id, LATEST) == ["c4"]


@pytest.mark.parametrize("source", ["update", "fork"])
async def test_what_an_edit_that_stays_was_made_to_stays(store: Store, source: str) -> None:
    thread_id = await stepped(store, "c1", "c2", "c3")
    fork = checkpoint("f", parent_id="c1", metadata={"source": source})
    await put_all(store, thread_id, fork)
    assert await thinned(store, thread_id, "1") == ["f", "c1"]
    assert await thinned(store, thread_id, LATEST) == ["f"]


async def test_what_a_run_ended_with_stays_for_a_while(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await stepped(store, "c3", thread_id=thread_id)
    assert await thinned(store, thread_id, "1", recent=HOUR) == ["c3", "c2"]
    assert await worn(store, "1") == {thread_id: "1"}  # it is not done with
    await store.thin({thread_id: "1"}, limit=10, recent=HOUR, now=later(HOUR + 60))
    assert await ids(store, thread_id) == ["c3"]
    assert await worn(store, "1") == {}


async def test_nested_states_stay_with_the_checkpoints_that_need_them(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    call, memory = "node:1111", "memory"
    rows = [
        checkpoint("a1", call, metadata=of_root("c1")),
        checkpoint("a2", f"{call}|in:22", metadata=of_root("c1")),
        checkpoint("b1", "node:3333", metadata=of_root("c2")),
        checkpoint("b2", "node:3333", metadata=of_root("c2")),
        checkpoint("m1", memory, metadata=of_root("c0")),
        checkpoint("m2", memory, metadata=of_root("c1")),
        checkpoint("o1", "other:4444"),
    ]
    await put_all(store, thread_id, *rows)
    await thinned(store, thread_id, "2")
    left = {s.row.checkpoint_id for _, s in await store.history(thread_id, None)}
    assert left == {"c2", "c1", "a1", "a2", "b2", "m2", "o1"}
    await thinned(store, thread_id, "1")
    left = {s.row.checkpoint_id for _, s in await store.history(thread_id, None)}
    assert left == {"c2", "b2", "m2", "o1"}


@pytest.mark.parametrize("ns", ["", "sub"])
@pytest.mark.parametrize("keep", ["1", LATEST])
async def test_ancestors_stay_back_to_the_last_snapshot(store: Store, ns: str, keep: str) -> None:
    thread_id = thread_name()
    chain = [("d1", {}), ("d2", DELTA), ("d3", {}), ("d4", DELTA), ("d5", DELTA)]
    parent = None
    for name, marked in chain:
        row = checkpoint(name, ns, parent_id=parent, metadata={"source": "loop", **marked})
        await store.put(thread_id, Rows((row,), writes=(write(name, ns=ns),)))
        parent = name
    if ns:
        await put_all(store, thread_id, checkpoint("c1"))
    await store.thin({thread_id: keep}, limit=100)
    assert await ids(store, thread_id, ns) == ["d5", "d4", "d3"]
    assert len(plain(await store.load(thread_id, ns, "d4"))[2]) == 1


async def test_no_more_goes_at_once_than_allowed_and_the_rest_is_told(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2", "c3", "c4")
    first = await store.thin({thread_id: "1"}, limit=2)
    assert first == Thinned(frozenset({thread_id}), 2, frozenset({thread_id}))
    assert await ids(store, thread_id) == ["c4", "c1"]
    assert await worn(store, "1") == {thread_id: "1"}
    assert await store.thin({thread_id: "1"}, limit=2) == replace(
        first, dropped=1, rest=frozenset()
    )
    assert await store.thin({thread_id: "1"}, limit=2) == Thinned(frozenset({thread_id}))
    assert await worn(store, "1") == {}


async def test_a_thread_that_a_run_or_an_edit_is_at_is_left_alone(store: Store) -> None:
    busy, edited = await stepped(store, "c1", "c2"), await stepped(store, "c1", "c2")
    queued = await stepped(store, "c1", "c2")
    await claimed(store, busy)
    await started(store, queued)
    await store.hold(edited, OWNER, lease=60)
    assert await worn(store, "1") == {}
    done = await store.thin(dict.fromkeys((busy, edited, queued), "1"), limit=100)
    assert done == Thinned()
    for thread_id in (busy, edited, queued):
        assert await ids(store, thread_id) == ["c2", "c1"]


async def test_thinning_what_is_not_there_does_nothing(store: Store) -> None:
    assert (await store.thin({thread_name(): "1"}, limit=10)).dropped == 0
    assert (await store.thin({}, limit=10)).dropped == 0
    empty = await new_thread(store)
    assert (await store.thin({empty: "run"}, limit=10)).dropped == 0
    assert await newest(store, empty) is None


async def test_a_run_that_starts_from_a_checkpoint_that_goes_is_refused_or_it_stays(
    lab: Lab,
) -> None:
    for thins_first in (True, False):
        thread_id = await stepped(lab.store, "c1", "c2")
        new = a_run(thread_id, kwargs={"checkpoint_id": "c1"})
        thin = lab.another().thin({thread_id: "1"}, limit=100)
        create = lab.another().create_run(new)
        calls = (thin, create) if thins_first else (create, thin)
        await lab.in_order(thread_id, *calls)
        accepted = bool(await lab.store.runs_by_id([new.run_id]))
        assert accepted == ("c1" in await ids(lab.store, thread_id))
        if accepted:
            claim = await take(lab.store, StepJob(thread_id, 2))
            assert plain(claim.stored)[0].checkpoint_id == "c1"


async def test_two_that_thin_at_once_drop_everything_once(lab: Lab) -> None:
    threads = [await stepped(lab.store, *(f"c{n}" for n in range(6))) for _ in range(3)]
    keeps = dict.fromkeys(threads, "2")
    calls = (lab.another().thin(keeps, limit=100), lab.another().thin(keeps, limit=100))
    done = await lab.in_order(threads[0], *calls)
    again = await lab.store.thin(keeps, limit=100)
    assert sum(each.dropped for each in done) + again.dropped == 12
    for thread_id in threads:
        assert await ids(lab.store, thread_id) == ["c5", "c4"]


async def test_the_walk_finds_each_thread_once_until_it_moves(store: Store) -> None:
    threads = sorted([await stepped(store, "c1", "c2") for _ in range(5)])
    await new_thread(store)
    found = [await worn(store, "1", limit=2) for _ in range(3)]
    assert [name for names in found for name in names] == threads
    for names in found:
        await store.thin(names, limit=100)
    assert await worn(store, "1") == {}
    await stepped(store, "c3", thread_id=threads[2])
    assert await worn(store, "1") == {threads[2]: "1"}
    assert await worn(store, "2") == dict.fromkeys(threads, "2")  # another rule
    assert await worn(store, "all") == {}


async def test_the_walk_passes_so_many_threads_and_goes_on_there(store: Store) -> None:
    threads = sorted([await stepped(store, "c1") for _ in range(5)])
    found = [list(await worn(store, "1", window=2)) for _ in range(4)]
    assert found == [threads[:2], threads[2:4], threads[4:], threads[:2]]


async def test_two_that_walk_at_once_find_nothing_twice(lab: Lab) -> None:
    threads = {await stepped(lab.store, "c1") for _ in range(6)}
    ways = [lab.another(), lab.another()]
    found = await lab.in_order(
        min(threads), *(way.worn_threads("1", window=3, limit=10) for way in ways)
    )
    found.append(await lab.store.worn_threads("1", window=3, limit=10))
    names = [name for each in found for name in each]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("said", "keep"),
    [("run", "run"), (3, "3"), ("3", "3"), ("all", None), ("many", "7"), (0, "7"), (None, "7")],
)
async def test_an_assistants_word_goes_before_the_deployments(
    store: Store, said: object, keep: str | None
) -> None:
    assistant_id, now = thread_name(), datetime.now(UTC)
    metadata = {} if said is None else {"retention": said}
    for owner, told in ((OWNER, metadata), (STRANGER, {"retention": "1"})):
        made = Assistant(
            assistant_id, owner, graph_id="g", name="n", created_at=now, updated_at=now,
            metadata=told,
        )  # fmt: skip
        await store.create_assistant(made)
    run, job = await started(store, assistant_id=assistant_id)
    await store.advance(await take(store, job), step_to("c1", Ending.DONE))
    assert await worn(store, "7") == ({run.thread_id: keep} if keep else {})


async def test_a_ttl_that_keeps_the_latest_does_so_when_it_is_over(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await store.update_thread(thread_id, OWNER, ttl=(60.0, "keep_latest"))
    assert await worn(store, "all") == {}
    over: dict[str, Any] = {"window": 100, "limit": 100, "now": later(HOUR + 60)}
    assert await store.worn_threads("all", **over) == {thread_id: LATEST}
    assert await thinned(store, thread_id, LATEST) == ["c2"]
    assert await store.worn_threads("run", **over) == {}
    await claimed(store, thread_id)
    assert await store.worn_threads("all", **over) == {}


async def test_both_stores_keep_the_same_of_any_history(lab: Lab) -> None:
    """Random threads: whatever is drawn, Postgres and the double drop the same."""
    double, seed = MemoryStore(), random.randrange(2**32)
    draw = random.Random(seed)
    for _ in range(12):
        thread_id, rows = thread_name(), _drawn(draw)
        for store in (double, lab.store):
            await put_all(store, thread_id, *rows)
        for keep in ("5", "run", "2", LATEST):
            limit = draw.choice([2, 100])
            for store in (double, lab.store):
                await store.thin({thread_id: keep}, limit=limit)
            left = [plain(s) for _, s in await double.history(thread_id, None)]
            found = [plain(s) for _, s in await lab.store.history(thread_id, None)]
            assert found == left, f"seed {seed}, keep {keep}"


def _drawn(draw: random.Random) -> list[CheckpointRow]:
    made: list[CheckpointRow] = []
    for n in range(draw.randrange(1, 25)):
        ns = draw.choice(["", "", "", "memory", "node:1", "node:2"])
        before = [row.checkpoint_id for row in made if row.ns == ns]
        roots = [row.checkpoint_id for row in made if row.ns == ""]
        metadata: dict[str, object] = {"source": draw.choice(["loop", "loop", "update", "fork"])}
        if draw.random() < 0.7:
            metadata["run_id"] = draw.choice(["r1", "r2", "r3"])
        if ns and roots and draw.random() < 0.8:
            metadata["parents"] = {"": draw.choice(roots)}
        if draw.random() < 0.3:
            metadata |= DELTA
        parent = draw.choice(before) if before and draw.random() < 0.9 else None
        made.append(checkpoint(f"{n:02}", ns, parent_id=parent, metadata=metadata))
    return made


async def test_a_run_in_flight_is_not_disturbed(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    claim = await claimed(store, thread_id)
    await store.thin({thread_id: "1"}, limit=100)
    await store.advance(claim, step_to("c3", Ending.DONE))
    assert await thinned(store, thread_id, "2") == ["c3", "c2"]
    assert run_of(claim).run_id in {
        r.run_id for r in await store.runs_by_id([run_of(claim).run_id])
    }


async def test_keeping_the_latest_tells_how_many_threads_it_could_take(store: Store) -> None:
    idle, busy = await stepped(store, "c1", "c2"), await stepped(store, "c1", "c2")
    await started(store, busy)
    assert await keep_latest(store, [idle, busy, thread_name()]) == 1
    assert (await ids(store, idle), await ids(store, busy)) == (["c2"], ["c2", "c1"])
    assert await keep_latest(store, []) == 0
