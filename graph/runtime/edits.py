"""A thread's state as clients write it: an edit of what is there, or all of a new thread's."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langgraph.types import StateUpdate

from graph.errors import AgentError, BadInput, Moved, Unavailable
from graph.runtime.checkpoints import bound, strict_serializer
from graph.runtime.engine import Runtime
from graph.runtime.given import as_command
from graph.runtime.models import Claim, Ending, Json, StepResult, Thread, ThreadStatus
from graph.runtime.rendering import interrupts_json
from graph.runtime.runs import pass_on
from graph.runtime.snapshots import checkpoint_json
from graph.runtime.step_saver import StepSaver
from graph.runtime.threads import NEWEST, Place, config_at, graph_of, must_exist

EDIT_LEASE = 30.0  # seconds; longer than an edit may take


@dataclass(frozen=True, slots=True)
class Write:
    """What one node is said to have done: returned these values, or this command."""

    values: Any = None
    as_node: str | None = None
    command: Json | None = None

    @property
    def update(self) -> StateUpdate:
        said: Any = self.values if self.command is None else as_command(self.command)
        return StateUpdate(said, self.as_node)


Supersteps = Sequence[Sequence[Write]]  # what the nodes of each superstep did


@dataclass(frozen=True, slots=True)
class Edit:
    """What a client writes into a state, and which checkpoint it believes to be the newest."""

    write: Write
    at: Place = NEWEST
    expected: str | None = None


async def create_with_state(
    rt: Runtime, thread: Thread, supersteps: Supersteps, *, if_exists: str
) -> Thread:
    """Make a thread on which these supersteps were taken, all at once.

    Raises BadInput when the graph refuses one of them, Conflict when the thread exists.
    """
    graph = await graph_of(rt, thread)
    unmade = Claim(thread.thread_id, thread.owner, 0, 0, 0, None, None, None)
    _, result = await _edited(rt, graph, supersteps, NEWEST, unmade)
    thread = replace(
        thread,
        head=result.head,
        interrupts=result.interrupts,
        status=ThreadStatus.INTERRUPTED if result.interrupts else ThreadStatus.IDLE,
    )
    return await rt.store.create_thread(thread, rows=result.rows, if_exists=if_exists)


async def update_state(rt: Runtime, thread: Thread, edit: Edit) -> Json:
    """Write values into a state; the checkpoint that this makes.

    Raises NotFound, BadInput when the graph refuses the values, Conflict while a run is active,
    Moved when the thread is not where the edit expects it. The edit is tried before the thread is
    held: one that is refused leaves no trace.
    """
    _must_be_at(thread.thread_id, thread.head, edit.expected)
    await must_exist(rt, thread, edit.at)
    graph = await graph_of(rt, thread)
    unheld = await _loaded(
        rt, Claim(thread.thread_id, thread.owner, thread.seq, 0, 0, thread.head, None, None)
    )
    checkpoint, result = await _edited(rt, graph, [[edit.write]], edit.at, unheld)
    claim = await rt.store.hold(thread.thread_id, thread.owner, lease=EDIT_LEASE)
    try:
        _must_be_at(thread.thread_id, claim.head, edit.expected)
        await must_exist(rt, thread, edit.at)  # it may have gone before the hold
        claim = await _loaded(rt, claim)
        if claim.stored != unheld.stored:  # a run came and went meanwhile
            checkpoint, result = await _edited(rt, graph, [[edit.write]], edit.at, claim)
        advanced = await rt.store.advance(claim, result)
    except BaseException:  # its client may have hung up: nobody else lets go of the thread
        with suppress(Unavailable):  # then the lease ends by itself
            await pass_on(rt, await rt.store.release(claim), owner=thread.owner)
        raise
    await pass_on(rt, advanced, owner=thread.owner)
    return checkpoint


async def _loaded(rt: Runtime, claim: Claim) -> Claim:
    """The claim with the checkpoint that it starts from."""
    if claim.head is None:
        return claim
    return replace(claim, stored=await rt.store.load(claim.thread_id, "", claim.head))


async def _edited(
    rt: Runtime, graph: Any, supersteps: Supersteps, at: Place, claim: Claim
) -> tuple[Json, StepResult]:
    """The checkpoint that an edit makes, and what is to be saved of it."""
    saver = StepSaver(rt.store, claim, serde=strict_serializer(rt.allowed_types))
    twin = bound(graph, saver)
    updates = [[write.update for write in superstep] for superstep in supersteps]
    try:
        made = await twin.abulk_update_state(config_at(claim.thread_id, at), updates)
        state = await twin.aget_state(config_at(claim.thread_id, NEWEST))
    except AgentError:
        raise
    except Exception as error:  # the edge to users' code: reducers and state types see the values
        raise BadInput(f"the graph refuses the values: {type(error).__name__}: {error}") from error
    # A task that asks nothing still makes the thread `interrupted`: it is paused in front of it.
    waiting = {task.id: task.interrupts for task in state.tasks}
    head = saver.rows.head.checkpoint_id if saver.rows.head else None
    result = StepResult(
        Ending.DONE, rows=saver.rows.all(), head=head, interrupts=interrupts_json(waiting)
    )
    checkpoint = checkpoint_json(made)
    assert checkpoint is not None, "an update makes a checkpoint"
    return checkpoint, result


def _must_be_at(thread_id: str, head: str | None, expected: str | None) -> None:
    if expected in (None, head):
        return
    stands = f"its newest checkpoint is {head}" if head else "it has no checkpoint"
    raise Moved(
        f"thread {thread_id} is not at checkpoint {expected} (If-Match): {stands}; read its state "
        "again and decide anew"
    )
