"""What the routes work with; built on first use, for nothing is built at import."""

import asyncio
from dataclasses import dataclass, field
from functools import cache
from math import inf
from typing import Annotated

from fastapi import Depends, Request

from functions.api.access.identify import Identify, anybody
from functions.api.access.quotas import Quotas
from functions.api.access.subjects import Permit
from graph.adapters.auth_config import Security
from graph.runtime.engine import Runtime
from graph.runtime.follow import Follower
from graph.runtime.line import Line
from graph.runtime.listening import Listener


@dataclass(frozen=True, slots=True)
class Edge:
    """The engine, and what a request may cost."""

    rt: Runtime
    follower: Follower
    listener: Listener
    wait_seconds: float = 25.0  # behind a gateway that gives up after 29
    max_body: int = 5_000_000  # bytes
    segment_seconds: float = 25.0  # of a stream behind such a gateway
    stream_seconds: float = 0.0  # that an open line may last; 0: for ever
    line_seconds: float = 0.0  # that a run is stepped in the process its client waits at
    line_lease: float = 60.0  # of them for one step
    lines: dict[str, tuple[Line, asyncio.Task[None]]] = field(default_factory=dict)  # by run
    identify: Identify = anybody
    permit: Permit | None = None  # the project's handlers
    quotas: Quotas | None = None
    security: Security | None = None  # as the OpenAPI document has it
    metrics_token: str = ""  # of those who may read /metrics; empty: as open as the rest
    origins: tuple[str, ...] = ()  # of the pages that may call; "*" is any


@cache
def wired() -> Edge:
    """The process's own, as its environment says; raises BadProject."""
    from functions import wiring  # imports nothing before the first request
    from functions.api.access.configured import access_of
    from functions.settings import settings

    wiring.logger()
    rt, env = wiring.runtime(), settings()
    access = access_of(env, rt.store)
    return Edge(
        rt,
        Follower(rt.store),
        Listener(rt.store),
        wait_seconds=env.BATON_WAIT_SECONDS,
        max_body=env.BATON_MAX_BODY_BYTES,
        segment_seconds=env.BATON_SEGMENT_SECONDS,
        stream_seconds=env.BATON_STREAM_SECONDS,
        line_seconds=min(env.BATON_LINE_SECONDS, env.BATON_STREAM_SECONDS or inf),
        line_lease=env.BATON_LINE_STEP_SECONDS,
        identify=access.identify,
        permit=access.permit,
        quotas=access.quotas,
        security=access.security,
        metrics_token=env.BATON_METRICS_TOKEN,
        origins=tuple(env.BATON_CORS_ORIGINS.replace(",", " ").split()),
    )


async def edge_of(request: Request) -> Edge:
    edge: Edge = request.app.state.edge()
    return edge


Api = Annotated[Edge, Depends(edge_of)]
