"""Requests for runs, accepted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Header
from uuid_utils.compat import uuid7

from functions.api.edge import Edge
from functions.api.request.if_match import IfMatch
from functions.api.schemas.runs import Alone, RunCreate
from graph.runtime import runs
from graph.runtime.assistants import find_runnable, pinned
from graph.runtime.models import NewRun, Run

BRIEFLY = (60.0, "delete")  # minutes in which a client may come back to a run without a thread

# How a run is followed, which does not make it another one.
LISTENING = {"stream_mode", "stream_subgraphs", "stream_resumable", "on_disconnect"}

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="A request that comes again with the same key makes no second run.",
    ),
]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a request for a run is carried out."""

    key: str | None
    if_match: str | None


async def conditions(if_match: IfMatch, key: Key = None) -> Conditions:
    return Conditions(key, if_match)


Terms = Annotated[Conditions, Depends(conditions)]


async def start(
    api: Edge,
    owner: str,
    thread_id: UUID,
    asked: RunCreate,
    key: str | None,
    *,
    if_match: str | None = None,
) -> Run:
    """Accept a run on a thread; raises what `start_run` raises."""
    new = await _new(
        api,
        owner,
        asked,
        thread_id=str(thread_id),
        idempotency_key=key,
        request_hash=_hash(thread_id, [asked]) if key else None,
        if_match=if_match,
    )
    return await runs.start_run(api.rt, new, make_thread=asked.if_not_exists == "create")


async def start_alone(api: Edge, owner: str, asked: Sequence[Alone], key: str | None) -> list[Run]:
    """Accept runs on threads of their own, all of them or none; raises what `start_alone` does."""
    request_hash = _hash(None, asked) if key else None
    new = [
        await _new(
            api,
            owner,
            each,
            thread_id=str(uuid7()),
            idempotency_key=f"{key} {place}" if key else None,
            request_hash=request_hash,
            thread_ttl=api.rt.retention.ttl if each.on_completion == "keep" else BRIEFLY,
        )
        for place, each in enumerate(asked)
    ]
    return await runs.start_alone(api.rt, new)


async def start_one(api: Edge, owner: str, asked: Alone, key: str | None) -> Run:
    """Accept a run on a thread of its own."""
    [run] = await start_alone(api, owner, [asked], key)
    return run


async def _new(api: Edge, owner: str, asked: RunCreate, **more: Any) -> NewRun:
    assistant = await find_runnable(api.rt, asked.assistant_id, owner)
    pins = pinned(assistant, asked.kwargs, asked.metadata or {})
    return NewRun(
        run_id=str(uuid7()),
        owner=owner,
        assistant_id=pins.assistant_id,
        graph_id=pins.graph_id,
        kwargs=pins.kwargs,
        metadata=pins.metadata,
        multitask_strategy=asked.multitask_strategy,
        delay=asked.after_seconds,
        **more,
    )


def _hash(thread_id: UUID | None, asked: Sequence[RunCreate]) -> str:
    """The same for requests that ask for the same runs, however their JSON is written."""
    said = [{"thread_id": thread_id, **each.model_dump(exclude=LISTENING)} for each in asked]
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()
