"""A run in place of those that the thread is busy with: `interrupt` and `rollback`."""

from dataclasses import replace
from typing import Any

import pytest

from graph.errors import Conflict, LostClaim, Moved, NotFound
from graph.runtime.models import (
    Claim,
    Ending,
    NewRun,
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
    OWNER,
    STRANGER,
    a_run,
    blob,
    checkpoint,
    claimed,
    dump,
    ids,
    new_thread,
    run_of,
    started,
    step_to,
    stepped,
    take,
    verdict,
    write,
)

STRATEGIES = ["interrupt", "rollback"]
ASKED = {"task": [{"value": "sure?", "id": "a" * 32}]}
RESUME: dict[str, Any] = {"command": {"resume": "yes"}}


def made_by(claim: Claim, checkpoint_id: str, ending: Ending = Ending.MORE) -> StepResult:
    """A step of a run as the engine saves it: its checkpoints say whose they are."""
    result = step_to(checkpoint_id, ending)
    mine = {"source": "loop", "run_id": run_of(claim).run_id}
    marked = replace(result.rows.checkpoints[0], metadata=mine)
    return replace(result, rows=replace(result.rows, checkpoints=(marked,)))


async def taken_to(store: Store, thread_id: str, checkpoint_id: str, **changes: Any) -> Claim:
    """A new run that has made this checkpoint, and whose next step is claimed."""
    claim = await claimed(store, thread_id, **changes)
    advanced = await store.advance(claim, made_by(claim, checkpoint_id))
    assert advanced.next_job is not None
    return await take(store, advanced.next_job)


async def asking(store: Store) -> str:
    """A thread that waits for an answer."""
    claim = await claimed(store)
    asks = replace(made_by(claim, "q", Ending.INTERRUPTED), interrupts=ASKED)
    await store.advance(claim, asks)
    return claim.thread_id


def in_place(thread_id: str, strategy: str, **changes: Any) -> NewRun:
    return a_run(thread_id, multitask_strategy=strategy, **changes)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_new_run_is_active_at_once_and_alone(store: Store, strategy: str) -> None:
    first, _ = await started(store)
    queued = (await store.create_run(a_run(first.thread_id))).run

    created = await store.create_run(in_place(first.thread_id, strategy))

    assert created.job == StepJob(first.thread_id, 1)
    assert created.ended == (first.run_id, queued.run_id)
    thread = await store.get_thread(first.thread_id, OWNER)
    assert (thread.active_run_id, thread.queued) == (created.run.run_id, ())
    assert thread.status is ThreadStatus.BUSY
    assert run_of(await take(store, created.job)).run_id == created.run.run_id


async def test_interrupt_ends_the_others_where_they_are(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    claim = await taken_to(store, thread_id, "c2")
    queued = (await store.create_run(a_run(thread_id))).run

    await store.create_run(in_place(thread_id, "interrupt"))

    for run_id in (run_of(claim).run_id, queued.run_id):
        run = await store.get_run(run_id, thread_id, OWNER)
        assert (run.status, run.head) == (RunStatus.INTERRUPTED, "c2")
    assert (await store.get_thread(thread_id, OWNER)).head == "c2"
    assert await ids(store, thread_id) == ["c2", "c1"]


async def test_rollback_leaves_nothing_of_the_others(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    _, before, kept = await dump(store, thread_id)
    claim = await taken_to(store, thread_id, "c2")
    await store.create_run(a_run(thread_id))

    created = await store.create_run(in_place(thread_id, "rollback"))

    thread, runs, checkpoints = await dump(store, thread_id)
    assert (thread.head, checkpoints) == ("c1", kept)
    assert runs == [created.run, *before]
    with pytest.raises(NotFound):
        await store.get_run(run_of(claim).run_id, thread_id, OWNER)
    assert created.job is not None
    stored = (await take(store, created.job)).stored
    assert stored is not None
    assert stored.row.checkpoint_id == "c1"


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_step_in_flight_loses_its_claim(store: Store, strategy: str) -> None:
    thread_id = await stepped(store, "c1")
    claim = await taken_to(store, thread_id, "c2")
    created = await store.create_run(in_place(thread_id, strategy))
    after = await dump(store, thread_id)

    with pytest.raises(LostClaim):
        await store.save(claim, made_by(claim, "c3").rows, input_applied=True)
    with pytest.raises(LostClaim):
        await store.advance(claim, made_by(claim, "c3", Ending.DONE))

    assert await dump(store, thread_id) == after
    assert await verdict(store, StepJob(thread_id, claim.seq)) is Verdict.DUPLICATE
    assert created.job is not None
    assert created.job.seq == claim.seq + 1


async def test_what_finished_siblings_have_saved_is_undone_too(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    before = await dump(store, thread_id)
    claim = await claimed(store, thread_id)
    await store.save(claim, made_by(claim, "c2").rows, input_applied=True)

    await store.cancel_run(run_of(claim).run_id, thread_id, OWNER, undo=True)

    thread, runs, checkpoints = await dump(store, thread_id)
    assert (runs, checkpoints) == before[1:]
    assert (thread.head, thread.status) == ("c1", ThreadStatus.IDLE)


@pytest.mark.parametrize("idx", [0, -4], ids=["a result", "an answer"])
async def test_what_a_run_wrote_beside_an_earlier_runs_checkpoint_is_undone(
    store: Store, idx: int
) -> None:
    thread_id = await asking(store)
    before = await dump(store, thread_id)
    claim = await claimed(store, thread_id, kwargs=RESUME)
    rows = Rows(writes=(write("q", idx, task_id="other"),))
    await store.advance(claim, StepResult(Ending.LATER, rows=rows, wake_in=0))

    await store.cancel_run(run_of(claim).run_id, thread_id, OWNER, undo=True)

    assert (await dump(store, thread_id))[1:] == before[1:]


async def test_a_question_that_a_run_wrote_over_is_put_back(store: Store) -> None:
    thread_id = await new_thread(store)
    first = await claimed(store, thread_id)
    question = write("q", -3, channel="__interrupt__", data=b"the first question")
    rows = Rows(made_by(first, "q").rows.checkpoints, (blob("value of q"),), (question,))
    asks = StepResult(Ending.INTERRUPTED, rows, "q", input_applied=True, interrupts=ASKED)
    await store.advance(first, asks)
    before = await dump(store, thread_id)
    claim = await claimed(store, thread_id, kwargs=RESUME)
    for data in (b"the second question", b"the third question"):
        again = Rows(writes=(replace(question, data=data),))
        await store.save(claim, again, input_applied=True)

    await store.create_run(in_place(thread_id, "rollback", kwargs=RESUME))

    assert (await dump(store, thread_id))[2] == before[2]


@pytest.mark.parametrize("undo", [True, False])
async def test_a_run_that_came_nowhere_leaves_the_question_asked(store: Store, undo: bool) -> None:
    thread_id = await asking(store)
    run, _ = await started(store, thread_id, kwargs=RESUME)

    await store.cancel_run(run.run_id, thread_id, OWNER, undo=undo)

    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.status, thread.interrupts) == (ThreadStatus.INTERRUPTED, ASKED)
    await started(store, thread_id, kwargs=RESUME)


async def test_a_run_that_came_somewhere_leaves_no_question_unless_undone(store: Store) -> None:
    thread_id = await asking(store)
    claim = await taken_to(store, thread_id, "c2", kwargs=RESUME)

    with pytest.raises(Conflict, match="nothing to resume"):
        await store.create_run(in_place(thread_id, "interrupt", kwargs=RESUME))
    again = await store.create_run(in_place(thread_id, "rollback", kwargs=RESUME))

    assert again.ended == (run_of(claim).run_id,)
    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.head, thread.interrupts) == ("q", ASKED)
    await store.create_run(in_place(thread_id, "interrupt"))
    await store.cancel_run((await _active(store, thread_id)), thread_id, OWNER)
    assert (await store.get_thread(thread_id, OWNER)).status is ThreadStatus.INTERRUPTED


async def test_interrupted_on_the_way_the_thread_is_idle(store: Store) -> None:
    thread_id = await asking(store)
    claim = await taken_to(store, thread_id, "c2", kwargs=RESUME)

    await store.cancel_run(run_of(claim).run_id, thread_id, OWNER)

    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.status, thread.interrupts, thread.head) == (ThreadStatus.IDLE, {}, "c2")


async def test_an_error_is_back_when_the_run_after_it_is_undone(store: Store) -> None:
    claim = await claimed(store)
    why = {"error": "ValueError", "message": "no"}
    await store.advance(claim, StepResult(Ending.FAILED, error=why))
    run, _ = await started(store, claim.thread_id)

    await store.cancel_run(run.run_id, claim.thread_id, OWNER, undo=True)

    thread = await store.get_thread(claim.thread_id, OWNER)
    assert (thread.status, thread.error) == (ThreadStatus.ERROR, why)


async def test_a_run_from_an_older_checkpoint_is_undone_to_the_newest(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    await taken_to(store, thread_id, "fork", kwargs={"input": 1, "checkpoint_id": "c1"})

    created = await store.create_run(in_place(thread_id, "rollback"))

    assert (await store.get_thread(thread_id, OWNER)).head == "c2"
    assert await ids(store, thread_id) == ["c2", "c1"]
    assert created.job is not None
    assert (await take(store, created.job)).head == "c2"


async def test_a_fork_of_what_was_interrupted_outlives_the_forks_rollback(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    await taken_to(store, thread_id, "c2")
    fork = in_place(thread_id, "interrupt", kwargs={"input": 1, "checkpoint_id": "c2"})
    job = (await store.create_run(fork)).job
    assert job is not None
    claim = await take(store, job)
    await store.advance(claim, made_by(claim, "c3"))

    await store.create_run(in_place(thread_id, "rollback"))

    assert await ids(store, thread_id) == ["c2", "c1"]
    assert (await store.get_thread(thread_id, OWNER)).head == "c2"


async def test_a_run_cannot_start_from_what_it_undoes(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    await taken_to(store, thread_id, "c2")
    before = await dump(store, thread_id)

    with pytest.raises(NotFound, match="checkpoint c2"):
        await store.create_run(in_place(thread_id, "rollback", kwargs={"checkpoint_id": "c2"}))

    assert await dump(store, thread_id) == before
    await store.create_run(in_place(thread_id, "rollback", kwargs={"checkpoint_id": "c1"}))


async def test_blobs_that_others_need_outlive_a_rollback(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    claim = await claimed(store, thread_id)
    shared, own = blob("value of c1"), blob("of the run alone")
    mine = {"run_id": run_of(claim).run_id}
    made = checkpoint("c2", metadata=mine, blob_ids=(shared.blob_id, own.blob_id))
    nested = checkpoint("n2", "inner", metadata=mine, blob_ids=(own.blob_id,))
    rows = Rows((nested, made), (shared, own), (write("n2", ns="inner"),))
    await store.advance(claim, StepResult(Ending.MORE, rows, "c2", input_applied=True))

    await store.create_run(in_place(thread_id, "rollback"))

    kept = await store.load(thread_id, "", "c1")
    assert kept is not None
    assert list(kept.blobs) == [shared.blob_id]
    assert await ids(store, thread_id, None) == ["c1"]


async def test_another_threads_copy_of_a_run_is_left_alone(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    await taken_to(store, thread_id, "c2")
    copy = await new_thread(store)
    await store.copy_checkpoints(thread_id, copy)
    before = await dump(store, copy)

    await store.create_run(in_place(thread_id, "rollback"))

    assert await dump(store, copy) == before


async def test_an_edit_that_a_run_was_accepted_under_outlives_its_rollback(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    hold = await store.hold(thread_id, OWNER, lease=60)
    run, _ = await started(store, thread_id)
    edit = StepResult(Ending.DONE, Rows((checkpoint("edit"),)), "edit", interrupts=ASKED)
    await store.advance(hold, edit)

    await store.cancel_run(run.run_id, thread_id, OWNER, undo=True)

    thread = await store.get_thread(thread_id, OWNER)
    assert (thread.head, thread.interrupts) == ("edit", ASKED)
    assert thread.status is ThreadStatus.INTERRUPTED


async def test_the_next_in_the_queue_goes_on_where_the_undone_run_began(store: Store) -> None:
    thread_id = await stepped(store, "c1")
    claim = await taken_to(store, thread_id, "c2")
    queued = (await store.create_run(a_run(thread_id))).run

    advanced = await store.cancel_run(run_of(claim).run_id, thread_id, OWNER, undo=True)

    assert advanced.next_job == StepJob(thread_id, claim.seq + 1)
    following = await take(store, advanced.next_job)
    assert (run_of(following).run_id, following.head) == (queued.run_id, "c1")


async def test_a_queued_run_that_is_undone_was_never_there(store: Store) -> None:
    run, _ = await started(store)
    before = await dump(store, run.thread_id)
    queued = (await store.create_run(a_run(run.thread_id))).run

    advanced = await store.cancel_run(queued.run_id, run.thread_id, OWNER, undo=True)

    assert advanced.next_job is None
    thread, *rest = await dump(store, run.thread_id)
    assert rest == list(before[1:])
    assert (thread.active_run_id, thread.queued) == (run.run_id, ())


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_same_request_twice_displaces_once(store: Store, strategy: str) -> None:
    thread_id = await stepped(store, "c1")
    await taken_to(store, thread_id, "c2")
    new = in_place(thread_id, strategy, idempotency_key="k", request_hash="h")
    first = await store.create_run(new)
    after = await dump(store, thread_id)

    second = await store.create_run(replace(new, run_id=a_run(thread_id).run_id))

    assert (second.run, second.repeated, second.ended) == (first.run, True, ())
    assert await dump(store, thread_id) == after


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_stranger_displaces_nothing(store: Store, strategy: str) -> None:
    run, _ = await started(store)
    before = await dump(store, run.thread_id)

    with pytest.raises(NotFound):
        await store.create_run(in_place(run.thread_id, strategy, owner=STRANGER))
    with pytest.raises(NotFound):
        await store.cancel_run(run.run_id, run.thread_id, STRANGER, undo=strategy == "rollback")

    assert await dump(store, run.thread_id) == before


async def test_a_run_that_has_ended_is_not_undone(store: Store) -> None:
    claim = await claimed(store)
    await store.advance(claim, DONE)
    before = await dump(store, claim.thread_id)

    with pytest.raises(Conflict, match="ended already"):
        await store.cancel_run(run_of(claim).run_id, claim.thread_id, OWNER, undo=True)

    assert await dump(store, claim.thread_id) == before


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_delay_holds_for_the_new_run(store: Store, strategy: str) -> None:
    run, _ = await started(store)
    created = await store.create_run(in_place(run.thread_id, strategy, delay=3600.0))
    assert created.job is not None
    assert await verdict(store, created.job) is Verdict.ASLEEP


@pytest.mark.parametrize(
    ("strategy", "expected"), [("interrupt", "c2"), ("rollback", "c1"), ("enqueue", None)]
)
async def test_if_match_names_what_the_run_would_start_from(
    store: Store, strategy: str, expected: str | None
) -> None:
    thread_id = await stepped(store, "c1")
    await taken_to(store, thread_id, "c2")
    before = await dump(store, thread_id)
    for other in {"c1", "c2", "c9"} - {expected}:
        with pytest.raises(Moved, match="If-Match"):
            await store.create_run(in_place(thread_id, strategy, if_match=other))
    assert await dump(store, thread_id) == before
    if expected:
        created = await store.create_run(in_place(thread_id, strategy, if_match=expected))
        assert created.job is not None


async def test_if_match_on_an_idle_thread(store: Store) -> None:
    thread_id = await stepped(store, "c1", "c2")
    with pytest.raises(Moved, match="c2"):
        await store.create_run(a_run(thread_id, if_match="c1"))
    assert (await store.create_run(a_run(thread_id, if_match="c2"))).job is not None
    fresh = await new_thread(store)
    with pytest.raises(Moved):
        await store.create_run(a_run(fresh, if_match="c1"))


def strict(resume: Any) -> dict[str, Any]:
    return {"command": {"resume": resume}, "strict_resume": True}


@pytest.mark.parametrize("resume", ["yes", {"a" * 32: "yes"}, {"no": "id"}])
async def test_a_strict_resume_answers_what_is_asked(store: Store, resume: Any) -> None:
    thread_id = await asking(store)
    assert (await store.create_run(a_run(thread_id, kwargs=strict(resume)))).job is not None


@pytest.mark.parametrize("strategy", ["enqueue", "reject", "interrupt", "rollback"])
async def test_a_strict_resume_of_another_question_is_refused(store: Store, strategy: str) -> None:
    thread_id = await asking(store)
    before = await dump(store, thread_id)
    stale = strict({"a" * 32: 1, "b" * 32: 2})
    with pytest.raises(Conflict, match=f"{'b' * 32} is not asked.*{'a' * 32}"):
        await store.create_run(in_place(thread_id, strategy, kwargs=stale))
    assert await dump(store, thread_id) == before
    await store.create_run(a_run(thread_id, kwargs={**stale, "strict_resume": False}))


async def test_a_strict_resume_says_which_of_several_questions_it_answers(store: Store) -> None:
    claim = await claimed(store)
    two = {"x": ASKED["task"], "y": [{"value": "really?", "id": "b" * 32}]}
    result = replace(made_by(claim, "q", Ending.INTERRUPTED), interrupts=two)
    await store.advance(claim, result)
    with pytest.raises(Conflict, match="say which"):
        await store.create_run(a_run(claim.thread_id, kwargs=strict("yes")))
    answer = strict({"b" * 32: "yes"})
    assert (await store.create_run(a_run(claim.thread_id, kwargs=answer))).job is not None


async def _active(store: Store, thread_id: str) -> str:
    run_id = (await store.get_thread(thread_id, OWNER)).active_run_id
    assert run_id is not None
    return run_id
