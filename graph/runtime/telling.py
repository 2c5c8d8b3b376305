"""A run's whole story for one reader: what it told, and how it ended."""

import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace

from graph.errors import NotFound
from graph.runtime.engine import Runtime
from graph.runtime.heard import Heard
from graph.runtime.late import late
from graph.runtime.listening import Listener
from graph.runtime.models import Event, Json, Run, RunStatus
from graph.runtime.rendering import to_json

HEARTBEAT = 5.0  # seconds without an event
ALWAYS = {"metadata", "error", "end"}  # events that no filter holds back


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a reader goes on, what it wants, and how long it can stay."""

    after: int | None = None  # the last event it has; None: from the start
    modes: Collection[str] | None = None  # None: all there is
    until: float | None = None  # in `time.monotonic` seconds


async def told(
    rt: Runtime, listener: Listener, run: Run, reading: Reading
) -> AsyncIterator[Event | None]:
    """The run's events, then `error` if it failed, then `end`; None when nothing came for a while.

    What is not in the log (`metadata`, the end, the state of a run without a log) has no number.
    """
    cursor = reading.after or 0
    if reading.after is None:
        yield begins(run)
    while (within := _patience(reading.until)) > 0:
        try:
            heard = await listener.after(run.run_id, cursor, within=within)
        except TimeoutError:
            yield None
            continue
        except NotFound:  # deleted: there is no more to come
            yield _event("end", None)
            return
        for event in heard.events:
            cursor = event.seq
            if _wanted(event.name, reading.modes):
                yield event
        if heard.over:
            for event in await _ending(rt, run, heard, reading):
                yield event
            return


def begins(run: Run) -> Event:
    """The event that every reader gets first."""
    return _event("metadata", {"run_id": run.run_id, "attempt": 1})


async def _ending(rt: Runtime, run: Run, heard: Heard, reading: Reading) -> list[Event]:
    ending = []
    if heard.status in (RunStatus.ERROR, RunStatus.TIMEOUT):
        ending.append(_event("error", heard.error))
    elif "stream_mode" not in run.kwargs and _wanted("values", reading.modes):
        final_values = (await late("graph.runtime.values")).final_values
        ended = replace(run, status=heard.status, head=heard.head, error=heard.error)
        ending.append(_event("values", await final_values(rt, ended)))
    return [*ending, _event("end", None)]


def _patience(until: float | None) -> float:
    return HEARTBEAT if until is None else min(HEARTBEAT, until - time.monotonic())


def _wanted(name: str, modes: Collection[str] | None) -> bool:
    kind = name.split("|")[0]
    if modes is None or kind in ALWAYS:
        return True
    if kind == "messages":
        return bool({"messages", "messages-tuple"} & set(modes))
    return kind.split("/")[0] in modes


def _event(name: str, data: Json | None) -> Event:
    return Event(name, to_json(data))
