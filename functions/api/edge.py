"""What the routes work with; built on first use, for nothing is built at import."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated

from fastapi import Depends, Request

from graph.runtime.engine import Runtime
from graph.runtime.follow import Follower
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


@cache
def wired() -> Edge:
    """The process's own, as its environment says; raises BadProject."""
    from functions import wiring  # noqa: PLC0415 - imports nothing before the first request
    from functions.settings import settings  # noqa: PLC0415

    wiring.logger()
    rt, env = wiring.runtime(), settings()
    return Edge(
        rt,
        Follower(rt.store),
        Listener(rt.store),
        wait_seconds=env.BATON_WAIT_SECONDS,
        max_body=env.BATON_MAX_BODY_BYTES,
        segment_seconds=env.BATON_SEGMENT_SECONDS,
    )


async def edge_of(request: Request) -> Edge:
    edge: Edge = request.app.state.edge()
    return edge


Api = Annotated[Edge, Depends(edge_of)]
