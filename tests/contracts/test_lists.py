"""Items of lists: kept, found, gone on with once, and dropped when nothing refers to them."""

from dataclasses import replace

import pytest

from graph.errors import Conflict, Unavailable
from graph.runtime.models import Ending, ItemRow, Rows, Span, Stored
from graph.runtime.ports import Store
from graph.runtime.retention import keep_latest
from tests.contracts.builders import (
    OWNER,
    checkpoint,
    claim_one,
    claimed,
    ids,
    new_thread,
    plain,
    started,
    step_to,
    take,
    thread_name,
    write,
)
from tests.contracts.lab import Lab

LIST = 2**62 + 7


def item(start: int, *texts: str, list_id: int = LIST) -> ItemRow:
    return ItemRow(list_id, start, len(texts), "".join(texts).encode())


def listing(checkpoint_id: str, *items: ItemRow, spans: tuple[Span, ...], ns: str = "") -> Rows:
    """A checkpoint with one list, and the items it adds."""
    return Rows((checkpoint(checkpoint_id, ns=ns, lists={"messages": spans}),), items=items)


async def put_all(store: Store, thread_id: str, *rows: Rows) -> None:
    for one in rows:
        await store.put(thread_id, one)


THREE = (
    listing("c1", item(0, "a", "b"), spans=((LIST, 0, 2),)),
    listing("c2", item(2, "c"), spans=((LIST, 0, 3),)),
    listing("c3", item(3, "d"), spans=((LIST, 0, 4),)),
)


async def texts(store: Store, thread_id: str, checkpoint_id: str) -> str:
    """What the rows of the checkpoint's lists say, in order."""
    stored = await store.load(thread_id, "", checkpoint_id)
    assert stored is not None
    return said(stored)


def said(stored: Stored) -> str:
    return "".join(i.data.decode() for i in sorted(stored.items, key=lambda i: i.start))


async def test_a_checkpoint_is_given_the_items_of_its_spans_and_where_lists_end(
    store: Store,
) -> None:
    thread_id = thread_name()
    await put_all(store, thread_id, *THREE)
    for name, least in (("c1", "ab"), ("c2", "abc"), ("c3", "abcd")):
        stored = await store.load(thread_id, "", name)
        assert stored is not None
        assert said(stored).startswith(least)
        assert dict(stored.ends) == {LIST: 4}
        assert stored.row.lists == {"messages": ((LIST, 0, len(least)),)}
        assert min(i.start for i in stored.items) == 0


async def test_lists_of_other_channels_threads_and_namespaces_are_not_mixed_up(
    store: Store,
) -> None:
    one, other = thread_name(), thread_name()
    row = checkpoint("c1", lists={"a": ((1, 0, 1),), "b": ((2, 0, 1), (1, 0, 1))})
    rows = Rows((row,), items=(item(0, "x", list_id=1), item(0, "y", list_id=2)))
    await store.put(one, rows)
    await store.put(other, listing("c1", item(0, "z", list_id=1), spans=((1, 0, 1),)))
    stored = await store.load(one, "", "c1")
    assert stored is not None
    assert stored.row == row
    assert {(i.list_id, i.data) for i in stored.items} == {(1, b"x"), (2, b"y")}
    assert await texts(store, other, "c1") == "z"


async def test_where_a_list_goes_on_already_nothing_is_stored(store: Store) -> None:
    claim = await claimed(store)
    await put_all(store, claim.thread_id, *THREE[:2])
    meant = step_to("mine", rows=listing("mine", item(2, "other"), spans=((LIST, 0, 3),)))
    with pytest.raises(Unavailable):
        await store.advance(claim, meant)
    with pytest.raises(Unavailable):
        await store.save(claim, meant.rows, input_applied=True)
    assert await store.load(claim.thread_id, "", "mine") is None
    assert await texts(store, claim.thread_id, "c2") == "abc"
    await store.advance(claim, step_to("fine"))  # the claim still stands


async def test_items_go_with_the_last_checkpoint_that_refers_to_them(store: Store) -> None:
    thread_id = thread_name()
    await put_all(store, thread_id, *THREE)
    fork = listing("f", item(0, "F", list_id=9), spans=((LIST, 0, 2), (9, 0, 1)))
    await store.put(thread_id, fork)
    before = plain(await store.load(thread_id, "", "f"))
    await keep_latest(store, [thread_id])
    stored = await store.load(thread_id, "", "f")
    assert stored is not None
    assert plain(stored) == before
    assert sorted(i.data for i in stored.items) == [b"F", b"ab"]
    assert dict(stored.ends) == {LIST: 2, 9: 1}
    again = listing("c2", item(2, "new"), spans=((LIST, 0, 3),))
    await store.put(thread_id, again)
    assert await texts(store, thread_id, "c2") == "abnew"


async def test_deleting_a_runs_checkpoints_frees_the_places_of_their_items(store: Store) -> None:
    thread_id = thread_name()
    made = [
        replace(rows, checkpoints=(replace(rows.checkpoints[0], metadata={"run_id": run_id}),))
        for rows, run_id in zip(THREE, ("r1", "r2", "r2"), strict=True)
    ]
    await put_all(store, thread_id, *made)
    await store.delete_checkpoints(run_ids=["r2"])
    stored = await store.load(thread_id, "", "c1")
    assert stored is not None
    assert (said(stored), dict(stored.ends)) == ("ab", {LIST: 2})
    await put_all(store, thread_id, *THREE[1:])
    assert await texts(store, thread_id, "c3") == "abcd"


async def test_items_that_only_a_nested_graph_refers_to_are_kept(store: Store) -> None:
    thread_id = thread_name()
    await store.put(thread_id, listing("n1", item(0, "n"), spans=((LIST, 0, 1),), ns="sub"))
    await store.put(thread_id, Rows((checkpoint("c1"),)))
    await store.put(thread_id, Rows((checkpoint("c2"),)))
    await keep_latest(store, [thread_id])
    stored = await store.load(thread_id, "sub", "n1")
    assert stored is not None
    assert said(stored) == "n"


async def test_a_copied_list_goes_on_for_itself(store: Store) -> None:
    source, target = thread_name(), thread_name()
    await put_all(store, source, *THREE[:2])
    await store.copy_checkpoints(source, target)
    await store.put(source, THREE[2])
    await store.put(target, listing("t3", item(3, "t"), spans=((LIST, 0, 4),)))
    assert await texts(store, source, "c3") == "abcd"
    assert await texts(store, target, "t3") == "abct"


async def test_checkpoints_are_copied_to_a_thread_once(lab: Lab) -> None:
    source, target = thread_name(), await new_thread(lab.store)
    await put_all(lab.store, source, *THREE)
    copies = (lab.another().copy_checkpoints(source, target) for _ in range(2))
    first, second = await lab.in_order(target, *copies)
    assert first is None
    assert isinstance(second, Conflict)
    assert f"{target} has checkpoints already" in str(second)
    assert await texts(lab.store, target, "c3") == "abcd"
    assert await ids(lab.store, target) == ["c3", "c2", "c1"]


async def test_a_copy_of_lists_is_not_laid_over_nested_checkpoints(store: Store) -> None:
    source, target = thread_name(), thread_name()
    await put_all(store, source, *THREE)
    await store.put(target, listing("n1", item(0, "n"), spans=((LIST, 0, 1),), ns="sub"))
    with pytest.raises(Conflict, match=target):
        await store.copy_checkpoints(source, target)
    assert await ids(store, target, None) == ["n1"]


async def test_a_claim_is_not_given_what_its_process_has(store: Store) -> None:
    claim = await claimed(store)
    rows = replace(THREE[0], writes=(write("c1"),))
    await store.advance(claim, step_to("c1", Ending.DONE, rows=rows))
    _, job = await started(store, claim.thread_id)
    again = await claim_one(store, job, cached="c1")
    stored = getattr(again, "stored", None)
    assert stored is not None
    assert (stored.row.body, stored.blobs, stored.items) == (b"", {}, ())
    assert (stored.row.checkpoint_id, stored.writes) == ("c1", rows.writes)


async def test_a_claim_is_given_all_when_its_process_has_something_else(store: Store) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, step_to("c1", rows=THREE[0]))
    assert advanced.next_job is not None
    again = await claim_one(store, advanced.next_job, cached="c0")
    stored = getattr(again, "stored", None)
    assert stored is not None
    assert stored == await store.load(claim.thread_id, "", "c1")


async def test_a_claim_is_given_lists_of_any_length(store: Store) -> None:
    first, second = [await claimed(store) for _ in range(2)]
    other = LIST + 1
    rows = (
        *(item(n, f"<{n}>") for n in range(40)),
        item(40, *(f"<{n}>" for n in range(40, 150))),  # beyond the end of a part, and of the next
        *(item(n, f"<{n}>") for n in range(150, 200)),
        *(item(n, f"({n})", list_id=other) for n in range(130)),
    )
    spans: dict[str, tuple[Span, ...]] = {"a": ((LIST, 70, 200),), "b": ((other, 0, 130),)}
    long = Rows((checkpoint("c1", lists=spans),), items=rows)
    jobs = []
    for claim, added in ((first, long), (second, THREE[0])):
        advanced = await store.advance(claim, step_to("c1", rows=added))
        assert advanced.next_job is not None
        jobs.append(advanced.next_job)
    given = await store.claim([(job, None) for job in jobs], lease=60.0)
    stored, short = [getattr(claim, "stored", None) for claim in given]
    assert stored is not None
    assert short is not None
    texts = {
        name: "".join(
            i.data.decode()
            for i in sorted(stored.items, key=lambda i: i.start)
            if i.list_id == name
        )
        for name in (LIST, other)
    }
    assert "".join(f"<{n}>" for n in range(70, 200)) in texts[LIST]
    assert texts[other] == "".join(f"({n})" for n in range(130))
    assert dict(stored.ends) == {LIST: 200, other: 130}
    assert said(short) == "ab"


async def test_a_run_that_is_rolled_back_frees_the_places_of_its_items(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1", Ending.DONE, rows=THREE[0]))
    run, job = await started(store, claim.thread_id)
    row = replace(THREE[1].checkpoints[0], metadata={"run_id": run.run_id})
    rolled_back = replace(THREE[1], checkpoints=(row,))
    await store.advance(await take(store, job), step_to("c2", rows=rolled_back))
    await store.cancel_run(run.run_id, claim.thread_id, OWNER, undo=True)
    stored = await store.load(claim.thread_id, "", None)
    assert stored is not None
    assert (said(stored), dict(stored.ends)) == ("ab", {LIST: 2})
