"""Cancelling while something else happens to the thread."""

from typing import Any

import pytest

from graph.errors import Conflict, LostClaim
from graph.runtime.models import (
    Advanced,
    Claim,
    Ending,
    RunStatus,
    ThreadStatus,
)
from tests.contracts.at_once import ROUNDS, both, kinds
from tests.contracts.builders import (
    DONE,
    OWNER,
    a_run,
    claimed,
    ids,
    run_of,
    started,
    step_to,
)
from tests.contracts.lab import Lab


async def check_cancelled_or_ended(lab: Lab, claim: Claim, advanced: Any, cancelled: Any) -> None:
    """One of the two came first, and the thread is free either way."""
    run = await lab.store.get_run(run_of(claim).run_id, claim.thread_id, OWNER)
    thread = await lab.store.get_thread(claim.thread_id, OWNER)
    assert (thread.active_run_id, thread.status) == (None, ThreadStatus.IDLE)
    outcome = kinds([advanced, cancelled])
    if isinstance(advanced, LostClaim):
        assert isinstance(cancelled, Advanced), cancelled
        assert (run.status, thread.seq) == (RunStatus.INTERRUPTED, 1)
        assert await ids(lab.store, claim.thread_id) == []
    elif isinstance(cancelled, Conflict):
        assert (run.status, thread.seq, thread.head) == (RunStatus.SUCCESS, 1, "c1")
    else:
        assert outcome == ["Advanced", "Advanced"], outcome
        assert (run.status, thread.seq, thread.head) == (RunStatus.INTERRUPTED, 2, "c1")


@pytest.mark.parametrize("ending", [Ending.MORE, Ending.DONE])
async def test_cancel_and_advance_at_once_leave_the_thread_free(lab: Lab, ending: Ending) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        run_id = run_of(claim).run_id
        advanced, cancelled = await both(
            lab.store.advance(claim, step_to("c1", ending)),
            rival.cancel_run(run_id, claim.thread_id, OWNER),
        )
        await check_cancelled_or_ended(lab, claim, advanced, cancelled)


@pytest.mark.parametrize("cancel_first", [True, False], ids=["cancel first", "advance first"])
@pytest.mark.parametrize("ending", [Ending.MORE, Ending.DONE])
async def test_cancel_and_advance_in_either_order(
    lab: Lab, ending: Ending, cancel_first: bool
) -> None:
    claim = await claimed(lab.store)
    advance = lab.store.advance(claim, step_to("c1", ending))
    cancel = lab.another().cancel_run(run_of(claim).run_id, claim.thread_id, OWNER)
    order = (cancel, advance) if cancel_first else (advance, cancel)
    results = await lab.in_order(claim.thread_id, *order)
    advanced, cancelled = results[::-1] if cancel_first else results
    await check_cancelled_or_ended(lab, claim, advanced, cancelled)
    assert isinstance(advanced, LostClaim) is cancel_first, results


async def test_cancelling_a_queued_run_as_its_turn_comes_never_loses_the_thread(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        claim = await claimed(lab.store)
        queued = (await lab.store.create_run(a_run(claim.thread_id))).run
        advanced, cancelled = await both(
            lab.store.advance(claim, DONE),
            rival.cancel_run(queued.run_id, claim.thread_id, OWNER),
        )
        assert kinds([advanced, cancelled]) == ["Advanced", "Advanced"], (advanced, cancelled)
        thread = await lab.store.get_thread(claim.thread_id, OWNER)
        assert (thread.active_run_id, thread.queued) == (None, ())
        assert thread.status is ThreadStatus.IDLE
        run = await lab.store.get_run(queued.run_id, claim.thread_id, OWNER)
        assert run.status is RunStatus.INTERRUPTED


async def test_cancelling_the_same_run_at_once_cancels_it_once(lab: Lab) -> None:
    rival = lab.another()
    for _ in range(ROUNDS):
        run, _ = await started(lab.store)
        results = await both(
            lab.store.cancel_run(run.run_id, run.thread_id, OWNER),
            rival.cancel_run(run.run_id, run.thread_id, OWNER),
        )
        assert kinds(results) == ["Advanced", "Conflict"], results
        assert (await lab.store.get_thread(run.thread_id, OWNER)).seq == 1
