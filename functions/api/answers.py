"""The engine's nouns as the wire format's JSON."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import Response

from graph.runtime.engine import Runtime
from graph.runtime.late import late
from graph.runtime.models import Json, Run, Thread
from graph.runtime.rendering import to_json
from graph.usage import Totals


def answer(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """A response with any value a graph may hold."""
    return Response(to_json(value), status, headers, media_type="application/json")


def nothing(status: int = 204) -> Response:
    return Response(status_code=status)


async def thread_json(rt: Runtime, thread: Thread) -> Json:
    """A Thread with the state of its newest checkpoint, which is read for it."""
    (whole,) = await threads_json(rt, [thread], thread.owner)
    return whole


async def threads_json(
    rt: Runtime, threads: Sequence[Thread], owner: str, *, values: bool = True
) -> list[Json]:
    """Threads, if asked with their newest states, which are read at once."""
    held: Mapping[str, Any] = {}
    if values and any(thread.head for thread in threads):
        await late("graph.runtime.values")
        from graph.runtime.values import newest_values

        held = await newest_values(rt, threads, owner)
    empty: Json | None = {} if values else None
    return [_thread(thread, held.get(thread.thread_id, empty)) for thread in threads]


def _thread(thread: Thread, values: Any) -> Json:
    return {
        "thread_id": thread.thread_id,
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "metadata": thread.metadata,
        "status": thread.status,
        "config": thread.config,
        "values": values,
        "interrupts": {task: asked for task, asked in thread.interrupts.items() if asked},
        "error": thread.error,
        "usage": usage_json(thread.spent),
        "ttl": thread.ttl_minutes
        and {"ttl_minutes": thread.ttl_minutes, "strategy": thread.ttl_strategy},
    }


def run_json(run: Run) -> Json:
    return {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "assistant_id": run.assistant_id,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "status": run.status,
        "metadata": run.metadata,
        "kwargs": run.kwargs,
        "multitask_strategy": run.multitask_strategy,
        "error": run.error,
        "usage": usage_json(run.spent),
    }


def usage_json(spent: Totals) -> Json:
    """What model calls have spent; a call to a model without a known price counts as 0 USD."""
    return {
        "model_calls": spent.calls,
        "tool_calls": spent.tool_calls,
        "tokens": spent.tokens,
        "usd": float(spent.usd),
    }


def selected(item: Json, fields: Iterable[str] | None) -> Json:
    """The item, or only those of its fields that were asked for."""
    return item if not fields else {name: item[name] for name in fields if name in item}


def page_headers(total: int, *, limit: int, offset: int) -> dict[str, str]:
    """How many there are, and where the next page starts if there is one."""
    headers = {"X-Pagination-Total": str(total)}
    if offset + limit < total:
        headers["X-Pagination-Next"] = str(offset + limit)
    return headers
