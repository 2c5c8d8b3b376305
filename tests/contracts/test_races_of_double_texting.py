"""Runs displaced while something else happens to the thread: nothing of them is left behind."""

import asyncio
from typing import Any

import pytest

from graph.errors import Conflict, LostClaim
from graph.runtime.models import Advanced, Created, Ending, StepJob
from tests.contracts.at_once import ROUNDS, both
from tests.contracts.builders import OWNER, a_run, dump, ids, run_of, stepped, take
from tests.contracts.lab import Lab
from tests.contracts.test_double_texting import in_place, made_by, taken_to

STRATEGIES = ["interrupt", "rollback"]


async def check_displaced(lab: Lab, thread_id: str, created: Any, strategy: str) -> None:
    """The new run is alone, and starts from a checkpoint that there is."""
    assert isinstance(created, Created), created
    thread, runs, _ = await dump(lab.store, thread_id)
    assert (thread.active_run_id, thread.queued) == (created.run.run_id, ())
    assert created.job == StepJob(thread_id, thread.seq)
    if strategy == "rollback":
        known = {run.run_id for run in runs}
        left = [s.row for _, s in await lab.store.history(thread_id, None)]
        assert {row.metadata["run_id"] for row in left} <= known
    claim = await take(lab.store, created.job)
    assert run_of(claim).run_id == created.run.run_id
    assert claim.stored is not None
    assert claim.stored.row.checkpoint_id == thread.head == (await ids(lab.store, thread_id))[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ending", [Ending.MORE, Ending.DONE])
async def test_a_step_saved_just_before_its_run_is_displaced(
    lab: Lab, strategy: str, ending: Ending
) -> None:
    thread_id = await stepped(lab.store, "c1")
    claim = await taken_to(lab.store, thread_id, "c2")
    rival = lab.another()

    advanced, created = await lab.in_order(
        thread_id,
        lab.store.advance(claim, made_by(claim, "c3", ending)),
        rival.create_run(in_place(thread_id, strategy)),
    )

    assert isinstance(advanced, Advanced), advanced
    ended = ending is Ending.DONE
    assert created.ended == (() if ended else (run_of(claim).run_id,))
    assert (await lab.store.get_thread(thread_id, OWNER)).head == (
        "c1" if strategy == "rollback" and not ended else "c3"
    )
    await check_displaced(lab, thread_id, created, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_step_saved_and_its_run_displaced_at_once(lab: Lab, strategy: str) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await stepped(lab.store, "c1")
        claim = await taken_to(lab.store, thread_id, "c2")
        saved, created = await both(
            lab.store.save(claim, made_by(claim, "c3").rows, input_applied=True),
            rival.create_run(in_place(thread_id, strategy)),
        )
        assert saved is None or isinstance(saved, LostClaim), saved
        await check_displaced(lab, thread_id, created, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_two_texts_at_once_leave_one_run(lab: Lab, strategy: str) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await stepped(lab.store, "c1")
        claim = await taken_to(lab.store, thread_id, "c2")
        texts = await both(
            lab.store.create_run(in_place(thread_id, strategy)),
            rival.create_run(in_place(thread_id, strategy)),
        )
        assert all(isinstance(text, Created) for text in texts), texts
        first, second = sorted(texts, key=lambda text: text.job.seq)
        assert first.ended == (run_of(claim).run_id,)
        assert second.ended == (first.run.run_id,)
        await check_displaced(lab, thread_id, second, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_text_that_comes_twice_at_once_displaces_once(lab: Lab, strategy: str) -> None:
    rival = lab.another()
    for turn in range(ROUNDS):
        thread_id = await stepped(lab.store, "c1")
        claim = await taken_to(lab.store, thread_id, "c2")
        key = {"idempotency_key": f"{strategy} {turn} {thread_id}", "request_hash": "h"}
        texts = await both(
            lab.store.create_run(in_place(thread_id, strategy, **key)),
            rival.create_run(in_place(thread_id, strategy, **key)),
        )
        assert len({text.run.run_id for text in texts}) == 1
        assert sorted(text.repeated for text in texts) == [False, True]
        [made] = [text for text in texts if not text.repeated]
        assert made.ended == (run_of(claim).run_id,)
        await check_displaced(lab, thread_id, made, strategy)


async def test_a_run_undone_and_a_step_of_it_saved_at_once(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await stepped(lab.store, "c1")
        before = await dump(lab.store, thread_id)
        claim = await taken_to(lab.store, thread_id, "c2")
        advanced, undone = await both(
            lab.store.advance(claim, made_by(claim, "c3", Ending.DONE)),
            rival.cancel_run(run_of(claim).run_id, thread_id, OWNER, undo=True),
        )
        if isinstance(undone, Conflict):  # it had ended
            assert (await lab.store.get_thread(thread_id, OWNER)).head == "c3"
            continue
        assert isinstance(advanced, LostClaim), advanced
        assert (await dump(lab.store, thread_id))[1:] == before[1:]


async def test_a_queued_run_is_not_lost_to_a_rollback_that_comes_at_once(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        thread_id = await stepped(lab.store, "c1")
        await taken_to(lab.store, thread_id, "c2")
        queued, created = await both(
            lab.store.create_run(a_run(thread_id)),
            rival.create_run(in_place(thread_id, "rollback")),
        )
        thread = await lab.store.get_thread(thread_id, OWNER)
        assert thread.active_run_id == created.run.run_id
        displaced = queued.run.run_id in created.ended
        assert thread.queued == (() if displaced else (queued.run.run_id,))


async def test_runs_alone_with_one_key_at_once_are_made_once(lab: Lab) -> None:
    rival = lab.another()
    for turn in range(ROUNDS):
        batches = [
            [
                a_run(
                    f"{turn}-{who}-{place}-{id(lab)}",
                    idempotency_key=f"alone {turn} {place}",
                    request_hash="h",
                )
                for place in range(3)
            ]
            for who in range(2)
        ]
        made = await asyncio.gather(
            lab.store.create_alone(batches[0]), rival.create_alone(batches[1])
        )
        runs = [[created.run.run_id for created in batch] for batch in made]
        assert runs[0] == runs[1]
        assert sorted(batch[0].repeated for batch in made) == [False, True]
