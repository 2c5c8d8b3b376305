"""How things stand, in Prometheus's text format."""

from collections.abc import Iterator, Mapping
from hmac import compare_digest
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from functions.api.access.identify import CHALLENGE, anybody, bearer
from functions.api.edge import Api, Edge
from functions.api.routing import routes_of
from graph.runtime.housekeeping import left_over
from graph.runtime.models import Backlog, Census

router = routes_of("Meta")

TEXT = "text/plain; version=0.0.4; charset=utf-8"
DESCRIBED: dict[int | str, Any] = {
    200: {"description": "Gauges.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", response_class=Response, responses=DESCRIBED)
async def metrics(request: Request, api: Api) -> Response:
    """Counts over all owners, asked of Postgres in two statements; gauges all of them."""
    _admit(request, api)
    census, backlog = await api.rt.store.census(), await left_over(api.rt)
    lines = "".join(block for block in _blocks(census, backlog))
    return Response(lines, headers={"Content-Type": TEXT})


def _admit(request: Request, api: Edge) -> None:
    """Raises for whoever has no business with all owners' counts."""
    if not api.metrics_token:
        if api.identify is anybody:
            return
        raise HTTPException(403, "set BATON_METRICS_TOKEN: these are the counts of all owners")
    if not compare_digest(bearer(request).encode(), api.metrics_token.encode()):
        raise HTTPException(401, "the token of BATON_METRICS_TOKEN is wanted", CHALLENGE)


def _blocks(census: Census, backlog: Backlog) -> Iterator[str]:
    for name, value, about in (
        ("steps_due", census.due_steps, "Steps that nobody takes yet."),
        ("oldest_due_step_seconds", census.oldest_due, "How long the oldest of them has waited."),
        ("steps_under_way", census.steps_under_way, "Steps that somebody takes."),
        ("threads_sleeping", census.sleeping, "Threads that wait for a time to come."),
        ("threads_waiting", census.waiting, "Threads that wait for a person, by statistics."),
        ("steps_overdue", backlog.overdue_steps, "Due steps that nothing has rung for a minute."),
        ("webhooks_overdue", backlog.overdue_webhooks, "Webhooks that should have been tried."),
        ("threads_expired", backlog.expired_threads, "Threads past their TTL."),
        ("runs_past_retention", backlog.ended_runs, "Runs that the sweep will delete."),
        ("model_calls_last_hour", census.model_calls, "Calls of models and tools."),
        ("model_tokens_last_hour", census.tokens, "Tokens in and out."),
        ("model_usd_last_hour", census.usd, "What they cost."),
    ):
        yield _gauge(name, about, {"": float(value)})
    yield _gauge("runs", "Runs that have not ended.", census.unfinished, by="status")
    yield _gauge("runs_ended_last_hour", "Runs by how they ended.", census.ended, by="status")
    yield _gauge("table_bytes", "Tables with their indexes.", backlog.bytes, by="table")


def _gauge(name: str, about: str, values: Mapping[str, float], *, by: str = "") -> str:
    """A block of lines; labels are names of ours, which need no escaping."""
    lines = [f"# HELP baton_{name} {about}", f"# TYPE baton_{name} gauge"]
    for label, value in sorted(values.items()):
        labels = f'{{{by}="{label}"}}' if by else ""
        lines.append(
            f"baton_{name}{labels} {value:g}"
            if value < 1e6
            else f"baton_{name}{labels} {value:.0f}"
        )
    return "\n".join(lines) + "\n"
