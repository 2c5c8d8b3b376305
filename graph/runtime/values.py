"""What a thread's checkpoints hold, as its clients see it; loads LangGraph's serializer only."""

from collections.abc import Sequence
from typing import Any

from graph.errors import NotFound
from graph.runtime.checkpoints import strict_serializer
from graph.runtime.codec import Codec, Decoded, Known, visible_values
from graph.runtime.engine import Runtime
from graph.runtime.models import Json, Run, RunStatus, Stored, Thread
from graph.runtime.rendering import interrupt_json
from graph.runtime.step_rows import INTERRUPT


async def values_at(rt: Runtime, thread_id: str, checkpoint_id: str) -> Any:
    """The state in a checkpoint of the root graph; empty when it is gone."""
    decoded = await _decoded(rt, thread_id, checkpoint_id)
    return {} if decoded is None else visible_values(decoded.checkpoint)


async def newest_values(rt: Runtime, threads: Sequence[Thread], owner: str) -> dict[str, Any]:
    """The newest states of threads by their ids, read at once; empty where nothing ran."""
    heads = await rt.store.heads([t.thread_id for t in threads if t.head], owner)
    codec = Codec(strict_serializer(rt.allowed_types))
    values = {
        thread_id: visible_values(codec.decode(stored).checkpoint)
        for thread_id, stored in heads.items()
    }
    return {thread.thread_id: values.get(thread.thread_id, {}) for thread in threads}


async def final_values(rt: Runtime, run: Run) -> Any:
    """What a run that ended has to say: its state, with the questions it asks, or its error."""
    if run.status in (RunStatus.ERROR, RunStatus.TIMEOUT):
        return {"__error__": run.error}
    if run.status is RunStatus.SUCCESS and (kept := _kept(rt, run)):
        return visible_values(kept.checkpoint)
    decoded = await _decoded(rt, run.thread_id, run.head) if run.head else None
    values = visible_values(decoded.checkpoint) if decoded else {}
    if run.status is not RunStatus.INTERRUPTED:
        return values
    writes = decoded.writes if decoded else ()
    asked = [interrupt_json(i) for _, name, told in writes if name == INTERRUPT for i in told]
    asked = asked or await _asked_at_ceiling(rt, run)
    if not asked:
        return values
    state = values if isinstance(values, dict) else {}
    return {**state, INTERRUPT: asked}


def _kept(rt: Runtime, run: Run) -> Decoded | None:
    """Where the run ended, without pending writes, if this process took its last step."""
    standing = rt.warm.look(run.thread_id)
    if standing is None or standing.row.checkpoint_id != run.head:
        return None
    row = standing.row
    known = Known({(row.ns, row.checkpoint_id): standing.forms})
    return Codec(strict_serializer(rt.allowed_types)).decode(Stored(row), known)


async def _asked_at_ceiling(rt: Runtime, run: Run) -> list[Json]:
    """The engine's own question, which no checkpoint has, while the thread stands at it."""
    try:
        thread = await rt.store.get_thread(run.thread_id, run.owner)
    except NotFound:  # deleted meanwhile
        return []
    question: list[Json] = thread.interrupts.get("", [])
    return question if thread.head == run.head else []


async def _decoded(rt: Runtime, thread_id: str, checkpoint_id: str) -> Decoded | None:
    stored = await rt.store.load(thread_id, "", checkpoint_id)
    return None if stored is None else Codec(strict_serializer(rt.allowed_types)).decode(stored)
