"""Checkpoint rows deleted, copied and thinned out."""

from dataclasses import replace

from graph.runtime.models import Ending, Rows, StepJob
from graph.runtime.ports import Store
from graph.runtime.retention import keep_latest
from tests.contracts.builders import (
    OWNER,
    blob,
    checkpoint,
    claimed,
    dump,
    ids,
    new_thread,
    newest,
    plain,
    rows_of,
    step_to,
    stepped,
    take,
    thread_name,
    write,
)


async def test_deleting_a_threads_checkpoints_leaves_thread_runs_and_others(store: Store) -> None:
    thread_id, other = await stepped(store, "c1", "c2"), await stepped(store, "c1")
    await store.put(thread_id, Rows((checkpoint("n1", ns="sub"),)))
    kept = await dump(store, other)
    await store.delete_checkpoints(thread_id=thread_id)
    assert await store.history(thread_id, None) == []
    assert await newest(store, thread_id) is None
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.head, thread.seq) == (None, 2)
    assert await dump(store, other) == kept
    claim = await claimed(store, thread_id)
    assert (claim.head, claim.stored) == (None, None)


async def test_deleted_checkpoints_leave_no_writes_and_values_behind(store: Store) -> None:
    thread_id = thread_name()
    await store.put(thread_id, rows_of("c1"))
    await store.delete_checkpoints(thread_id=thread_id)
    await store.put(thread_id, Rows(checkpoints=rows_of("c1").checkpoints))
    assert plain(await store.load(thread_id, "", "c1"))[1:] == ({}, [])


async def test_checkpoints_of_chosen_runs_are_deleted_wherever_they_are(store: Store) -> None:
    one, other = thread_name(), thread_name()
    for thread_id in (one, other):
        for name, run_id in (("c1", "r1"), ("c2", "r2"), ("c3", "r3")):
            rows = rows_of(name)
            row = replace(rows.checkpoints[0], metadata={"run_id": run_id})
            await store.put(thread_id, replace(rows, checkpoints=(row,)))
    await store.put(one, rows_of("c0"))
    await store.delete_checkpoints(run_ids=["r1", "r3"])
    assert await ids(store, one) == ["c0", "c2"]
    assert await ids(store, other) == ["c2"]
    assert await newest(store, other) == "c2"
    assert plain(await store.load(other, "", "c2"))[1:] != ({}, [])


async def test_deleting_the_checkpoints_of_no_run_deletes_nothing(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    before = await dump(store, thread_id)
    await store.delete_checkpoints(run_ids=[])
    await store.delete_checkpoints(run_ids=["unknown"])
    assert await dump(store, thread_id) == before


async def test_a_copy_has_all_of_its_source_and_then_a_life_of_its_own(store: Store) -> None:
    source, target = await stepped(store, "b", "a"), thread_name()
    await store.put(source, Rows((checkpoint("n1", ns="sub"),), writes=(write("n1", ns="sub"),)))
    await store.copy_checkpoints(source, target)
    originals = [plain(stored) for _, stored in await store.history(source, None)]
    assert [plain(stored) for _, stored in await store.history(target, None)] == originals
    assert await newest(store, target) == "a"
    await store.put(source, rows_of("later"))
    await store.delete_checkpoints(thread_id=source)
    assert [plain(stored) for _, stored in await store.history(target, None)] == originals


async def test_a_copy_can_be_run(store: Store) -> None:
    source, target = await stepped(store, "c1"), await new_thread(store)
    await store.copy_checkpoints(source, target)
    claim = await claimed(store, target)
    assert (claim.head, claim.seq) == ("c1", 0)
    assert plain(claim.stored) == plain(await store.load(source, "", "c1"))


async def test_a_copy_of_nothing_is_nothing(store: Store) -> None:
    target = thread_name()
    await store.copy_checkpoints(thread_name(), target)
    assert await store.history(target, None) == []


async def test_keeping_the_latest_keeps_one_of_each_namespace_and_what_it_needs(
    store: Store,
) -> None:
    thread_id, other = await stepped(store, "c1", "c2"), await stepped(store, "c1", "c2")
    shared = blob("value of c1")
    await store.put(
        thread_id,
        Rows(
            checkpoints=(
                checkpoint("n2", ns="sub"),
                checkpoint("n1", ns="sub", blob_ids=(shared.blob_id,)),
            ),
            writes=(write("n2", ns="sub"), write("n1", ns="sub")),
        ),
    )
    untouched = await dump(store, other)
    kept = [plain(await store.load(thread_id, ns, c)) for ns, c in (("sub", "n1"), ("", "c2"))]
    await keep_latest(store, [thread_id, thread_name()])
    assert [plain(stored) for _, stored in await store.history(thread_id, None)] == kept
    assert list(kept[0][1].values()) == [shared]
    assert (await store.get_thread(thread_id, OWNER)).head == "c2"
    assert await dump(store, other) == untouched


async def test_values_nothing_needs_any_more_are_gone(store: Store) -> None:
    thread_id = thread_name()
    await store.put(thread_id, rows_of("c1", "c2"))
    await keep_latest(store, [thread_id])
    old = rows_of("c1")
    await store.put(thread_id, Rows(checkpoints=old.checkpoints))
    assert plain(await store.load(thread_id, "", "c1"))[1:] == ({}, [])


async def test_the_head_is_kept_even_when_something_was_written_after_it(store: Store) -> None:
    claim = await claimed(store)
    result = step_to("c2", Ending.DONE, rows=rows_of("c1", "c2", "c3"))
    await store.advance(claim, result)
    await keep_latest(store, [claim.thread_id])
    assert await newest(store, claim.thread_id) == "c2"
    assert await ids(store, claim.thread_id) == ["c2"]


async def test_a_kept_thread_goes_on_where_it_was(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await keep_latest(store, [thread_id])
    claim = await claimed(store, thread_id)
    assert (claim.head, claim.seq) == ("c2", 2)
    await store.advance(claim, step_to("c3"))
    assert await ids(store, thread_id) == ["c3", "c2"]
    await take(store, StepJob(thread_id, 3))
