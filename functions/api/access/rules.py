"""Which permission each route asks for, as LangGraph's handlers name it."""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

from starlette.routing import compile_path

OPEN = frozenset(
    ("/", "/ok", "/info", "/metrics", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
)  # no caller is asked for


class Filtering(Enum):
    """How a filter on metadata is kept to."""

    NAMED = auto()  # what the path names must match
    MADE = auto()  # what is made is stamped, and must match if it exists
    FOUND = auto()  # a search is narrowed
    LISTED = auto()  # of the listed threads, those that match
    ANYWHERE = auto()  # the thread must be named, and match
    INSIDE = auto()  # nothing: what the route asks the API itself is asked for there
    PLACED = auto()  # a handler rewrites the namespace instead


@dataclass(frozen=True, slots=True)
class Rule:
    """What a handler is asked: may this user do these things to this resource?"""

    resource: str
    actions: tuple[str, ...]
    filtering: Filtering = Filtering.NAMED


def _rule(said: str) -> Rule:
    """`threads.create MADE`; NAMED where nothing is said."""
    name, _, filtering = said.partition(" ")
    resource, _, actions = name.partition(".")
    return Rule(resource, tuple(actions.split("+")), Filtering[filtering or "NAMED"])


RUN = "/threads/{thread_id}/runs/{run_id}"

RULES: dict[tuple[str, str], Rule] = {
    (method, path): _rule(said)
    for method, path, said in (
        ("POST", "/assistants", "assistants.create MADE"),
        ("POST", "/assistants/search", "assistants.search FOUND"),
        ("POST", "/assistants/count", "assistants.search FOUND"),
        ("GET", "/assistants/{assistant_id}", "assistants.read"),
        ("PATCH", "/assistants/{assistant_id}", "assistants.update"),
        ("DELETE", "/assistants/{assistant_id}", "assistants.delete"),
        ("GET", "/assistants/{assistant_id}/graph", "assistants.read"),
        ("GET", "/assistants/{assistant_id}/schemas", "assistants.read"),
        ("GET", "/assistants/{assistant_id}/subgraphs", "assistants.read"),
        ("GET", "/assistants/{assistant_id}/subgraphs/{namespace}", "assistants.read"),
        ("POST", "/assistants/{assistant_id}/versions", "assistants.read"),
        ("POST", "/assistants/{assistant_id}/latest", "assistants.update"),
        ("POST", "/threads", "threads.create MADE"),
        ("POST", "/threads/search", "threads.search FOUND"),
        ("POST", "/threads/count", "threads.search FOUND"),
        ("POST", "/threads/prune", "threads.delete LISTED"),
        ("GET", "/threads/{thread_id}", "threads.read"),
        ("PATCH", "/threads/{thread_id}", "threads.update"),
        ("DELETE", "/threads/{thread_id}", "threads.delete"),
        ("POST", "/threads/{thread_id}/copy", "threads.read+create"),
        ("GET", "/threads/{thread_id}/state", "threads.read"),
        ("POST", "/threads/{thread_id}/state", "threads.update"),
        ("GET", "/threads/{thread_id}/state/{checkpoint_id}", "threads.read"),
        ("POST", "/threads/{thread_id}/state/checkpoint", "threads.read"),
        ("GET", "/threads/{thread_id}/history", "threads.read"),
        ("POST", "/threads/{thread_id}/history", "threads.read"),
        ("GET", "/threads/{thread_id}/stream", "threads.read"),
        ("GET", "/every/threads/{thread_id}/runs/run/stream", "threads.read"),
        ("GET", "/every/threads/{thread_id}/runs/run", "threads.read"),
        ("POST", "/threads/{thread_id}/stream/events", "threads.read"),
        # What a command starts is asked for as POST /threads/{thread_id}/runs, inside.
        ("POST", "/threads/{thread_id}/commands", "threads.read"),
        ("POST", "/threads/{thread_id}/runs", "threads.create_run MADE"),
        ("POST", "/threads/{thread_id}/runs/wait", "threads.create_run MADE"),
        ("POST", "/threads/{thread_id}/runs/stream", "threads.create_run MADE"),
        ("GET", "/threads/{thread_id}/runs", "threads.read"),
        ("GET", RUN, "threads.read"),
        ("DELETE", RUN, "threads.delete"),
        ("POST", f"{RUN}/cancel", "threads.update"),
        ("GET", f"{RUN}/join", "threads.read"),
        ("GET", f"{RUN}/stream", "threads.read"),
        ("GET", f"{RUN}/webhook", "threads.read"),
        ("GET", f"/resume/{{seq}}{RUN}", "threads.read"),
        ("GET", f"/resume/{{seq}}{RUN}/stream", "threads.read"),
        ("GET", f"/line{RUN}", "threads.read"),
        ("GET", f"/line{RUN}/stream", "threads.read"),
        ("POST", "/runs", "threads.create_run MADE"),
        ("POST", "/runs/wait", "threads.create_run MADE"),
        ("POST", "/runs/stream", "threads.create_run MADE"),
        ("POST", "/runs/batch", "threads.create_run MADE"),
        ("GET", "/runs/{run_id}", "threads.read"),
        ("GET", "/runs/{run_id}/join", "threads.read"),
        ("GET", "/runs/{run_id}/stream", "threads.read"),
        ("POST", "/runs/cancel", "threads.update ANYWHERE"),
        ("POST", "/runs/crons", "crons.create MADE"),
        ("POST", "/threads/{thread_id}/runs/crons", "crons.create MADE"),
        ("POST", "/runs/crons/search", "crons.search FOUND"),
        ("POST", "/runs/crons/count", "crons.search FOUND"),
        ("GET", "/runs/crons/{cron_id}", "crons.read"),
        ("PATCH", "/runs/crons/{cron_id}", "crons.update"),
        ("DELETE", "/runs/crons/{cron_id}", "crons.delete"),
        ("PUT", "/store/items", "store.put PLACED"),
        ("GET", "/store/items", "store.get PLACED"),
        ("DELETE", "/store/items", "store.delete PLACED"),
        ("POST", "/store/items/search", "store.search PLACED"),
        ("POST", "/mcp", "assistants.search INSIDE"),
        ("POST", "/a2a/{assistant_id}", "assistants.read INSIDE"),
        ("GET", "/a2a/{assistant_id}/.well-known/agent-card.json", "assistants.read"),
        ("GET", "/.well-known/agent-card.json", "assistants.search INSIDE"),
        ("POST", "/store/namespaces", "store.list_namespaces PLACED"),
    )
}


@cache
def _patterns() -> list[Any]:
    """Longer paths of fixed words before those with a parameter in the same place."""
    paths = sorted({path for _, path in RULES}, key=lambda path: (path.count("{"), path))
    return [compile_path(path)[0] for path in paths]


def path_params(path: str) -> dict[str, str]:
    """What a path names, as the routes will see it."""
    found = next((match for p in _patterns() if (match := p.match(path))), None)
    return found.groupdict() if found else {}
