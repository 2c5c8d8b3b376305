"""What a step leaves behind."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graph.runtime.models import (
    Ending,
    Rows,
    RunStatus,
    StepJob,
    StepResult,
    ThreadStatus,
    Verdict,
)
from graph.runtime.ports import Store
from tests.contracts.builders import (
    DONE,
    MORE,
    OWNER,
    QUESTION,
    a_run,
    checkpoint,
    claimed,
    ids,
    plain,
    rows_of,
    run_of,
    started,
    step_to,
    take,
    verdict,
    write,
)

ERROR = {"error": "ValueError", "message": "no"}
UNFINISHED = [Ending.PARTIAL, Ending.LATER]


async def test_a_step_with_more_to_do_moves_the_thread_on_by_one(store: Store) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, step_to("c1"))
    assert advanced.next_job == StepJob(claim.thread_id, 1)
    assert advanced.delay == 0.0
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.seq, thread.head, thread.status) == (1, "c1", ThreadStatus.BUSY)
    assert thread.active_run_id == run_of(claim).run_id
    run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert (run.status, run.error, run.head) == (RunStatus.RUNNING, None, None)


async def test_a_step_that_made_no_checkpoint_leaves_the_head(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1"))
    claim = await take(store, StepJob(claim.thread_id, 1))
    await store.advance(claim, replace(MORE, rows=Rows(writes=(write("c1", 5),))))
    assert (await store.get_thread(claim.thread_id, OWNER)).head == "c1"
    stored = await store.load(claim.thread_id, "", "c1")
    assert stored is not None
    assert {w.idx for w in stored.writes} == {0, 5}


async def test_the_rows_of_a_step_are_stored_whole(store: Store) -> None:
    claim = await claimed(store)
    rows = rows_of("c1", "c2")
    nested = checkpoint("n1", ns="sub:1", parent_id="n0", metadata={"deep": {"list": [1, "ü"]}})
    rows = replace(rows, checkpoints=(nested, *rows.checkpoints), writes=(write("n1", ns="sub:1"),))
    await store.advance(claim, StepResult(Ending.MORE, rows=rows, head="c2"))
    assert await ids(store, claim.thread_id, None) == ["c2", "c1", "n1"]
    row, blobs, writes = plain(await store.load(claim.thread_id, "sub:1", "n1"))
    assert (row, blobs, writes) == (nested, {}, list(rows.writes))
    row, blobs, writes = plain(await store.load(claim.thread_id, "", "c2"))
    assert (row, list(blobs.values()), writes) == (rows.checkpoints[2], [rows.blobs[1]], [])


@pytest.mark.parametrize("ending", UNFINISHED)
async def test_an_unfinished_superstep_keeps_the_seq_and_what_it_saved(
    store: Store, ending: Ending
) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, step_to("c1", ending))
    assert advanced.next_job == StepJob(claim.thread_id, 0)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.seq, thread.head, thread.status) == (0, "c1", ThreadStatus.BUSY)
    again = await take(store, StepJob(claim.thread_id, 0))
    assert again.attempts == 1
    assert again.fence > claim.fence
    assert run_of(again).input_applied
    assert run_of(again).status is RunStatus.RUNNING


async def test_a_step_to_be_tried_later_sleeps_until_it_is_due(store: Store) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, StepResult(Ending.LATER, wake_in=3600))
    assert advanced.next_job is not None
    assert 3500 < advanced.delay <= 3600
    assert await verdict(store, advanced.next_job) is Verdict.ASLEEP
    await take(store, advanced.next_job, now=datetime.now(UTC) + timedelta(seconds=3601))


@pytest.mark.parametrize("wake_in", [0.0, -3600.0])
async def test_a_step_to_be_tried_again_at_once_is_not_delayed(
    store: Store, wake_in: float
) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, StepResult(Ending.LATER, wake_in=wake_in))
    assert advanced.delay == 0.0
    assert advanced.next_job is not None
    await take(store, advanced.next_job)


async def test_a_step_taken_clears_the_wake_up_time(store: Store) -> None:
    _, job = await started(store, delay=3600)
    claim = await take(store, job, now=datetime.now(UTC) + timedelta(seconds=3601), lease=7200)
    advanced = await store.advance(claim, MORE)
    assert advanced.delay == 0.0
    assert advanced.next_job is not None
    await take(store, advanced.next_job)


@pytest.mark.parametrize(
    ("result", "run_status", "thread_status"),
    [
        (DONE, RunStatus.SUCCESS, ThreadStatus.IDLE),
        (
            StepResult(Ending.INTERRUPTED, interrupts=QUESTION),
            RunStatus.INTERRUPTED,
            ThreadStatus.INTERRUPTED,
        ),
        (StepResult(Ending.FAILED, error=ERROR), RunStatus.ERROR, ThreadStatus.ERROR),
        (StepResult(Ending.TIMEOUT, error=ERROR), RunStatus.TIMEOUT, ThreadStatus.ERROR),
    ],
    ids=lambda value: value.ending if isinstance(value, StepResult) else "",
)
async def test_an_ending_is_written_to_run_and_thread(
    store: Store, result: StepResult, run_status: RunStatus, thread_status: ThreadStatus
) -> None:
    claim = await claimed(store)
    advanced = await store.advance(claim, replace(result, rows=rows_of("c1"), head="c1"))
    assert advanced.next_job is None
    run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert (run.status, run.error, run.head) == (run_status, result.error, "c1")
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.status, thread.error) == (thread_status, result.error)
    assert (thread.interrupts, thread.active_run_id) == (result.interrupts, None)
    assert (thread.seq, thread.head) == (1, "c1")


async def test_a_run_that_ends_without_a_checkpoint_points_at_the_threads_head(
    store: Store,
) -> None:
    claim = await claimed(store)
    await store.advance(claim, step_to("c1"))
    claim = await take(store, StepJob(claim.thread_id, 1))
    await store.advance(claim, DONE)
    run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert run.head == "c1"


async def test_interrupts_stay_until_a_later_run_ends(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.INTERRUPTED, interrupts=QUESTION))
    resume: dict[str, Any] = {"command": {"resume": "yes"}}
    claim = await claimed(store, claim.thread_id, kwargs=resume)
    assert (await store.get_thread(claim.thread_id, OWNER)).interrupts == QUESTION
    await store.advance(claim, MORE)
    assert (await store.get_thread(claim.thread_id, OWNER)).interrupts == QUESTION
    await store.advance(await take(store, StepJob(claim.thread_id, claim.seq + 1)), DONE)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.interrupts, thread.status) == ({}, ThreadStatus.IDLE)


async def test_an_error_is_gone_when_a_later_run_succeeds(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.FAILED, error=ERROR))
    claim = await claimed(store, claim.thread_id)
    await store.advance(claim, DONE)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.error, thread.status) == (None, ThreadStatus.IDLE)


async def test_texts_that_are_no_texts_are_saved_as_near_as_can_be(store: Store) -> None:
    claim = await claimed(store)
    odd, good = "a\0b \ud800", "\U0001f600 \\u0000"
    result = step_to(
        "c1",
        Ending.FAILED,
        error={"error": "ValueError", "message": odd + good},
        interrupts={"task-1": [{"value": {odd: [odd, good]}, "id": "i1"}]},
        rows=Rows((checkpoint("c1", metadata={"source": "loop", "said": odd}),)),
    )
    await store.advance(claim, result)
    run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert run.error is not None
    assert run.error["message"].startswith("a")
    assert run.error["message"].endswith(good)
    thread = await store.get_thread(claim.thread_id, OWNER)
    (asked,) = thread.interrupts["task-1"]
    assert [said[-1] for said in asked["value"].values()] == [good]
    assert await ids(store, claim.thread_id) == ["c1"]


async def test_the_step_limit_is_kept_once_set(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.MORE, stop_at=25))
    claim = await take(store, StepJob(claim.thread_id, 1))
    assert run_of(claim).stop_at == 25
    await store.advance(claim, MORE)
    claim = await take(store, StepJob(claim.thread_id, 2))
    assert run_of(claim).stop_at == 25


async def test_input_once_applied_stays_applied(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, StepResult(Ending.MORE, input_applied=True))
    claim = await take(store, StepJob(claim.thread_id, 1))
    await store.advance(claim, MORE)
    claim = await take(store, StepJob(claim.thread_id, 2))
    assert run_of(claim).input_applied


@pytest.mark.parametrize("ending", [e for e in Ending if e.ends_run])
async def test_queued_runs_get_their_turn_in_order_however_a_run_ends(
    store: Store, ending: Ending
) -> None:
    claim = await claimed(store)
    second = (await store.create_run(a_run(claim.thread_id))).run
    third = (await store.create_run(a_run(claim.thread_id))).run
    advanced = await store.advance(claim, step_to("c1", ending))
    assert advanced.next_job == StepJob(claim.thread_id, 1)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.active_run_id, thread.queued) == (second.run_id, (third.run_id,))
    assert thread.status is ThreadStatus.BUSY
    claim = await take(store, advanced.next_job)
    assert run_of(claim).run_id == second.run_id
    assert (run_of(claim).input_applied, claim.attempts, claim.head) == (False, 1, "c1")
    advanced = await store.advance(claim, DONE)
    assert advanced.next_job == StepJob(claim.thread_id, 2)
    claim = await take(store, advanced.next_job)
    assert run_of(claim).run_id == third.run_id
    assert (await store.advance(claim, DONE)).next_job is None


async def test_what_a_later_part_of_the_same_step_writes_is_newer(store: Store) -> None:
    claim = await claimed(store)
    first = Rows(tuple(checkpoint(name, ns="sub") for name in ("n7", "n8", "n9")))
    await store.advance(claim, StepResult(Ending.PARTIAL, rows=first))
    claim = await take(store, StepJob(claim.thread_id, 0))
    await store.save(claim, Rows((checkpoint("n1", ns="sub"),)), input_applied=False)
    await store.advance(claim, step_to("c1", Ending.PARTIAL))
    claim = await take(store, StepJob(claim.thread_id, 0))
    await store.advance(claim, StepResult(Ending.MORE, rows=Rows((checkpoint("n0", ns="sub"),))))
    assert await ids(store, claim.thread_id, None) == ["n0", "c1", "n1", "n9", "n8", "n7"]
    newest = await store.load(claim.thread_id, "sub", None)
    assert newest is not None
    assert newest.row.checkpoint_id == "n0"


async def test_an_attempt_that_came_nowhere_is_counted_and_the_step_stays(store: Store) -> None:
    _, job = await started(store)
    first = await take(store, job)
    advanced = await store.advance(first, StepResult(Ending.AGAIN))
    assert advanced.next_job == job
    second = await take(store, job)
    assert (first.attempts, second.attempts) == (1, 2)
    await store.advance(second, StepResult(Ending.PARTIAL))
    assert (await take(store, job)).attempts == 1


@pytest.mark.parametrize("rests_as", [ThreadStatus.IDLE, ThreadStatus.INTERRUPTED])
async def test_a_run_that_could_not_begin_keeps_its_error_to_itself(
    store: Store, rests_as: ThreadStatus
) -> None:
    claim = await claimed(store)
    asked = {"task": [{"id": "q", "value": "?"}]} if rests_as is ThreadStatus.INTERRUPTED else {}
    error = {"error": "Conflict", "message": "q is not asked"}
    result = StepResult(Ending.FAILED, error=error, interrupts=asked, rests_as=rests_as)
    await store.advance(claim, result)
    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.status, thread.error, thread.interrupts) == (rests_as, None, asked)
    run = await store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    assert (run.status, run.error) == (RunStatus.ERROR, error)
