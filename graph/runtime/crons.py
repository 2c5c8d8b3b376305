"""Crons: made, changed, and fired by the sweep, each due time once."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from graph.errors import BadInput, BadProject, UserError
from graph.runtime.assistants import find_runnable, pinned
from graph.runtime.engine import Runtime
from graph.runtime.models import Assistant, Cron, Firing, NewRun
from graph.runtime.runs import STATELESS, begun, checked
from graph.runtime.schedules import next_firing
from graph.runtime.stamps import joined, stamped

log = logging.getLogger("baton.crons")

BRIEFLY = (60.0, "delete")  # minutes in which what a run came to can be read


async def create_cron(rt: Runtime, cron: Cron) -> Cron:
    """Accept a cron; raises BadInput naming the field, NotFound without its thread or assistant."""
    assistant = await find_runnable(rt, cron.assistant_id, cron.owner)
    _run_of(assistant, rt, cron)
    _ends_later(cron)
    found = assistant.assistant_id
    made = found if assistant.owner else None
    new = replace(cron, assistant_id=found, made_assistant=made, stamp=stamped({}))
    return await rt.store.create_cron(_scheduled(new))


async def update_cron(
    rt: Runtime, cron_id: str, owner: str, change: Callable[[Cron], Cron]
) -> Cron:
    """Change what stands there now, also when somebody else has just done so.

    A due time that the sweep has not come to yet is kept unless the change is about when it fires.
    Raises what `create_cron` raises.
    """
    while True:
        seen = await rt.store.get_cron(cron_id, owner)
        cron = change(seen)
        if cron.kwargs != seen.kwargs:
            await _run(rt, cron)
        if cron.end_time != seen.end_time:
            _ends_later(cron)
        if _when(cron) != _when(seen):
            cron = _scheduled(cron)
        if changed := await rt.store.replace_cron(cron, seen=seen):
            return changed


async def fire_crons(rt: Runtime, *, limit: int, now: datetime | None = None) -> int:
    """Make a run for each cron that is due; how many.

    What came due several times since the last sweep fires once. One that cannot make its run keeps
    the reason as its `error` and goes on to its next due time.
    """
    now = now or datetime.now(UTC)
    due = await rt.store.due_crons(now=now, limit=limit)
    return sum([await _fire(rt, cron, now) for cron in due])


async def _fire(rt: Runtime, cron: Cron, now: datetime) -> bool:
    following = None
    try:
        following = _following(cron, max(now, cron.next_run_date or now))
        new = await _run(rt, cron)
        created = await rt.store.fire_cron(Firing(cron, new, following))
    except (UserError, BadProject) as error:
        log.warning("cron %s made no run: %s", cron.cron_id, error)
        reason = {"error": type(error).__name__, "message": str(error)}
        await rt.store.skip_cron(cron, next_run_date=following, error=reason)
        return False
    await rt.cut("after fire")
    if created is None:  # another sweep has been quicker
        return False
    await begun(rt, new, created)
    return True


async def _run(rt: Runtime, cron: Cron) -> NewRun:
    """The run of one due time, of the assistant as it is now."""
    return _run_of(await find_runnable(rt, cron.assistant_id, cron.owner), rt, cron)


def _run_of(assistant: Assistant, rt: Runtime, cron: Cron) -> NewRun:
    pins = pinned(assistant, cron.kwargs, cron.metadata)
    made_by = {"cron_id": cron.cron_id}
    new = NewRun(
        run_id=str(uuid7()),
        thread_id=cron.thread_id or str(uuid7()),
        owner=cron.owner,
        assistant_id=pins.assistant_id,
        graph_id=pins.graph_id,
        kwargs=pins.kwargs,
        metadata={**pins.metadata, **made_by},
        multitask_strategy=cron.multitask_strategy,
        delay=float(cron.payload.get("after_seconds", 0)),
        thread_ttl=rt.retention.ttl if cron.on_run_completed == "keep" else BRIEFLY,
        thread_metadata=joined({**cron.metadata, **STATELESS, **made_by}, cron.stamp),
    )
    return checked(rt, new)


def _when(cron: Cron) -> tuple[object, ...]:
    return cron.schedule, cron.timezone, cron.end_time, cron.enabled


def _scheduled(cron: Cron) -> Cron:
    return replace(cron, next_run_date=_following(cron, datetime.now(UTC)))


def _following(cron: Cron, after: datetime) -> datetime | None:
    """When it fires next, None when it does not; raises BadInput."""
    due = next_firing(cron.schedule, cron.timezone, after=after)
    over = cron.end_time is not None and due > cron.end_time
    return None if over or not cron.enabled else due


def _ends_later(cron: Cron) -> None:
    if cron.end_time is not None and cron.end_time <= datetime.now(UTC):
        raise BadInput(f"end_time: {cron.end_time.isoformat()} has passed")
