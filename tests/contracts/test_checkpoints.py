"""Checkpoint rows without a claim: written and read back."""

from dataclasses import replace

from graph.runtime.models import Rows
from graph.runtime.ports import Store
from tests.contracts.builders import (
    OWNER,
    blob,
    checkpoint,
    claimed,
    ids,
    new_thread,
    newest,
    plain,
    put_all,
    rows_of,
    step_to,
    thread_name,
    write,
)


async def test_putting_on_a_missing_thread_makes_it_without_an_owner(store: Store) -> None:
    thread_id = thread_name()
    await store.put(thread_id, rows_of("c1"))
    thread = await store.get_thread(thread_id, "")
    assert (thread.owner, thread.head, thread.seq) == ("", "c1", 0)


async def test_putting_on_a_thread_leaves_its_owner_and_moves_its_head(store: Store) -> None:
    thread_id = await new_thread(store)
    await store.put(thread_id, rows_of("c1", "c2"))
    assert (await store.get_thread(thread_id, OWNER)).head == "c2"
    await store.put(thread_id, Rows(checkpoints=(checkpoint("n1", ns="sub"),)))
    await store.put(thread_id, Rows(writes=(write("c2", 3),)))
    assert (await store.get_thread(thread_id, OWNER)).head == "c2"


async def test_what_is_not_there_loads_as_nothing(store: Store) -> None:
    thread_id = thread_name()
    assert await store.load(thread_id, "", None) is None
    assert await store.load(thread_id, "", "c1") is None
    assert await store.history(thread_id, None) == []
    await store.put(thread_id, rows_of("c1"))
    assert await store.load(thread_id, "", "c2") is None
    assert await store.load(thread_id, "sub", "c1") is None
    assert await store.load(thread_id, "sub", None) is None


async def test_any_bytes_come_back_as_they_went(store: Store) -> None:
    thread_id = thread_name()
    every_byte = bytes(range(256)) * 300
    value = replace(blob("x"), data=every_byte, kind="bytes")
    row = checkpoint("c1", body=every_byte, blob_ids=(value.blob_id,), parent_id="c0")
    written = write("c1", data=every_byte, task_path="~__pregel_pull, ü", channel="a'b\"c")
    empty = write("c1", 1, task_path="~__pregel_pull, ü", data=b"", kind="null")
    await store.put(thread_id, Rows((row,), (value,), (written, empty)))
    found = plain(await store.load(thread_id, "", "c1"))
    assert found == (row, {value.blob_id: value}, [written, empty])


async def test_a_value_shared_by_checkpoints_is_given_with_each(store: Store) -> None:
    thread_id = thread_name()
    shared, own = blob("shared"), blob("own")
    await store.put(thread_id, Rows((checkpoint("c1", blob_ids=(shared.blob_id,)),), (shared,)))
    both = (shared.blob_id, own.blob_id)
    await store.put(thread_id, Rows((checkpoint("c2", blob_ids=both),), (own, shared)))
    assert plain(await store.load(thread_id, "", "c1"))[1] == {shared.blob_id: shared}
    found = plain(await store.load(thread_id, "", "c2"))
    assert found[0].blob_ids == both
    assert found[1] == {shared.blob_id: shared, own.blob_id: own}


async def test_a_checkpoint_written_again_stays_as_it_was(store: Store) -> None:
    thread_id = thread_name()
    await store.put(thread_id, rows_of("c1"))
    await store.put(thread_id, Rows((checkpoint("c1", body=b"other", parent_id="p"),)))
    assert plain(await store.load(thread_id, "", "c1"))[0] == rows_of("c1").checkpoints[0]


async def test_a_write_written_again_changes_only_if_it_is_special(store: Store) -> None:
    thread_id = thread_name()
    first = (write("c1", 0, data=b"old"), write("c1", -1, data=b"old"))
    later = (
        write("c1", 0, data=b"new"),
        write("c1", -1, data=b"new", channel="__error__"),
        write("c1", 0, task_id="other", data=b"new"),
    )
    await store.put(thread_id, Rows((checkpoint("c1"),), writes=first))
    await store.put(thread_id, Rows(writes=later))
    _, _, writes = plain(await store.load(thread_id, "", "c1"))
    assert {(w.task_id, w.idx, w.channel, w.data) for w in writes} == {
        ("task", 0, "answer", b"old"),
        ("task", -1, "__error__", b"new"),
        ("other", 0, "answer", b"new"),
    }


async def test_the_same_special_write_twice_in_one_batch_is_no_error(store: Store) -> None:
    thread_id = thread_name()
    writes = (write("c1", -1, data=b"one"), write("c1", -1, data=b"two"), write("c1", 0))
    await store.put(thread_id, Rows((checkpoint("c1"),), writes=(*writes, write("c1", 0))))
    _, _, found = plain(await store.load(thread_id, "", "c1"))
    assert [(w.idx, w.data) for w in found] == [(-1, b"two"), (0, b"written")]


async def test_the_writes_of_a_task_are_given_in_order(store: Store) -> None:
    thread_id = thread_name()
    writes = tuple(write("c1", idx) for idx in (10, 2, 0, 1))
    await store.put(thread_id, Rows((checkpoint("c1"),), writes=writes))
    stored = await store.load(thread_id, "", "c1")
    assert stored is not None
    assert [w.idx for w in stored.writes] == [0, 1, 2, 10]


async def test_namespaces_do_not_share_checkpoints_or_writes(store: Store) -> None:
    thread_id = thread_name()
    await store.put(
        thread_id,
        Rows(
            checkpoints=(checkpoint("c1"), checkpoint("c1", ns="sub")),
            writes=(write("c1", data=b"root"), write("c1", ns="sub", data=b"sub")),
        ),
    )
    for ns, data in (("", b"root"), ("sub", b"sub")):
        row, _, writes = plain(await store.load(thread_id, ns, "c1"))
        assert (row.ns, [w.data for w in writes]) == (ns, [data])


async def test_history_is_in_the_order_of_writing_not_of_ids(store: Store) -> None:
    thread_id = thread_name()
    await put_all(store, thread_id, checkpoint("b"), checkpoint("a", ns="sub"), checkpoint("z"))
    await store.put(thread_id, Rows((checkpoint("y"), checkpoint("c"))))
    assert await ids(store, thread_id) == ["c", "y", "z", "b"]
    assert await ids(store, thread_id, "sub") == ["a"]
    assert await ids(store, thread_id, None) == ["c", "y", "z", "a", "b"]


async def test_history_before_a_checkpoint_is_what_was_written_before_it(store: Store) -> None:
    thread_id = thread_name()
    await put_all(store, thread_id, *(checkpoint(name) for name in ("d", "a", "c", "b")))
    assert await ids(store, thread_id, before="c") == ["a", "d"]
    assert await ids(store, thread_id, before="b", limit=1) == ["c"]
    assert await ids(store, thread_id, before="d") == []


async def test_history_can_be_cut_and_filtered(store: Store) -> None:
    thread_id = thread_name()
    made = {
        "c1": {"source": "input", "tags": [1, 2]},
        "c2": {"source": "loop"},
        "c3": {"tags": [2]},
    }
    await put_all(store, thread_id, *(checkpoint(c, metadata=m) for c, m in made.items()))
    assert await ids(store, thread_id, limit=2) == ["c3", "c2"]
    assert await ids(store, thread_id, limit=0) == []
    assert await ids(store, thread_id, metadata={"tags": [2]}) == ["c3", "c1"]
    assert await ids(store, thread_id, metadata={"tags": [2]}, limit=1) == ["c3"]
    assert await ids(store, thread_id, metadata={"tags": [2]}, before="c2") == ["c1"]
    assert await ids(store, thread_id, metadata={"source": "update"}) == []
    assert await ids(store, thread_id, metadata={}) == ["c3", "c2", "c1"]


async def test_history_of_all_threads_names_each_and_mixes_them_by_age(store: Store) -> None:
    one, other = thread_name(), thread_name()
    for thread_id, name in ((one, "c1"), (other, "c1"), (one, "c2"), (other, "c2")):
        await store.put(thread_id, rows_of(name))
    found = await store.history(None, "")
    assert [(thread_id, stored.row.checkpoint_id) for thread_id, stored in found] == [
        (other, "c2"),
        (one, "c2"),
        (other, "c1"),
        (one, "c1"),
    ]


async def test_history_carries_values_and_writes(store: Store) -> None:
    thread_id = thread_name()
    await store.put(thread_id, rows_of("c1", "c2"))
    for _, stored in await store.history(thread_id, ""):
        name = stored.row.checkpoint_id
        assert plain(stored) == plain(await store.load(thread_id, "", name))
        assert [b.data for b in stored.blobs.values()] == [f"value of {name}".encode()]
        assert len(stored.writes) == 1


async def test_the_newest_root_checkpoint_is_the_threads_head(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c2", rows=rows_of("c1", "c2", "c3")))
    assert await newest(store, claim.thread_id) == "c2"


async def test_the_newest_of_a_subgraph_is_the_one_written_last(store: Store) -> None:
    thread_id = thread_name()
    await put_all(store, thread_id, *(checkpoint(name, ns="sub") for name in ("b", "c", "a")))
    assert await newest(store, thread_id, "sub") == "a"
    assert await newest(store, thread_id) is None
