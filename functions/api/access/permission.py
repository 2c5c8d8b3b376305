"""What the project's handlers let a caller do, asked before a route sees the request.

A filter is kept to by what the request says (metadata made or searched for) and by a look at what
it names. Within the owner, that is: every statement has the owner in its WHERE, filters or not.
"""

import logging
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from functions.api.access.callers import Caller, User
from functions.api.access.filters import narrowed
from functions.api.access.rules import RULES, Filtering, Rule
from functions.api.access.subjects import ask, subjects_of
from functions.api.edge import Edge
from graph.errors import Conflict, NotFound
from graph.runtime.containment import contains
from graph.runtime.models import Json, ThreadQuery
from graph.runtime.stamps import STAMP, joined

log = logging.getLogger("baton.auth")

IDENTITY = "langgraph_auth_"  # keys of a run's config that only the server writes
FIRED = Rule("threads", ("create_run",), Filtering.MADE)  # what a cron will do for who makes it


class NothingFound(Exception):
    """A search for what the caller may not see: it finds nothing."""


async def permitted(request: Request) -> None:
    """Every route's dependency: raises what the handlers raise, 404 for what a filter hides."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        return
    edge: Edge = request.app.state.edge()
    rule = RULES.get((request.method, request.scope["route"].path))
    body = await _json(request)
    parts = body if isinstance(body, list) else [body]
    for part in parts:
        if edge.permit is not None and caller.user is not None:
            await _permit(request, edge, caller, rule, part)
        changes = request.method == "PATCH" and isinstance(part, dict) and "config" not in part
        if isinstance(part, dict) and rule and _makes_runs(rule) and not changes:
            tell(part, caller.user)


async def _json(request: Request) -> Any:
    """The body as the route will see it: what is changed in it is changed for the route."""
    try:
        return await request.json() if await request.body() else None
    except ValueError:
        return None


def _makes_runs(rule: Rule) -> bool:
    return "create_run" in rule.actions or (
        rule.resource == "crons" and rule.filtering is not Filtering.FOUND
    )


def tell(asked: Json, user: User | None) -> None:
    """Write into the config of a run to be who asks for it, over anything the client says there."""
    said = _identity(user) if user else {}
    config = asked.get("config") or {}
    conf = (config.get("configurable") or {}) if isinstance(config, dict) else None
    if not isinstance(conf, dict) or not (said or any(k.startswith(IDENTITY) for k in conf)):
        return
    own = {key: value for key, value in conf.items() if not key.startswith(IDENTITY)}
    asked["config"] = {**config, "configurable": own | said}


def _identity(user: User) -> Json:
    return {
        f"{IDENTITY}user": user.to_dict(),
        f"{IDENTITY}user_id": user.identity,
        f"{IDENTITY}permissions": list(user.permissions),
    }


async def _permit(
    request: Request, edge: Edge, caller: Caller, rule: Rule | None, body: Any
) -> None:
    assert edge.permit is not None, "there are handlers"
    if rule is None:  # fails closed: a handler cannot have been asked
        log.error("no rule says what %s %s needs", request.method, request.scope["route"].path)
        raise HTTPException(403, "no permission covers this request")
    if rule.filtering is Filtering.INSIDE:
        return
    part = await ask(edge.permit, caller, rule, request, body)
    if (rule.resource, rule.filtering) == ("crons", Filtering.MADE):
        fired = await ask(edge.permit, caller, FIRED, request, body)
        await _match(request, edge, caller.owner, FIRED, {}, fired)
    if rule.resource == "assistants" and request.query_params.get("delete_threads"):
        await _free_hand(edge, caller.user)
    if not part or rule.filtering is Filtering.PLACED:
        return
    if rule.filtering is Filtering.FOUND:
        _narrow(body, part)
    elif rule.filtering is Filtering.LISTED:
        await _leave_out(edge, caller.owner, body, part)
    else:
        await _match(request, edge, caller.owner, rule, body, part)


async def _free_hand(edge: Edge, user: User | None) -> None:
    """Deleting an assistant's threads names none of them: no filter could be kept to."""
    assert edge.permit is not None, "there are handlers"
    assert user is not None, "there is a user"
    if await edge.permit(user, "threads", "delete", {}):
        raise HTTPException(403, "you may not delete every thread: leave delete_threads out")


def _narrow(body: Any, part: Json) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("metadata") or {}, dict):
        return  # the route refuses it
    body["metadata"] = narrowed(body.get("metadata") or {}, part)
    if body["metadata"] is None:
        raise NothingFound


async def _leave_out(edge: Edge, owner: str, body: Any, part: Json) -> None:
    ids = body.get("thread_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or not ids:
        return  # the route refuses it
    query = ThreadQuery(metadata=part, ids=tuple(ids), limit=len(ids))
    found, _ = await edge.rt.store.search_threads(owner, query)
    body["thread_ids"] = [thread.thread_id for thread in found]


async def _match(
    request: Request, edge: Edge, owner: str, rule: Rule, body: Any, part: Json
) -> None:
    """What the request names must match; what it makes is stamped so that it will."""
    fields = body if isinstance(body, dict) else {}
    if rule.filtering is Filtering.ANYWHERE and not isinstance(fields.get("thread_id"), str):
        raise HTTPException(403, "you may not see every thread: name one with thread_id")
    made = rule.filtering is Filtering.MADE
    for kind, name, in_path in subjects_of(rule, request.path_params, fields):
        metadata = await _metadata(edge, owner, kind, name)
        if metadata is not None and not contains(metadata, part):
            if made and not in_path:
                raise Conflict(f"{kind} {name} exists already: choose another id")
            raise NotFound(f"{kind} {name} does not exist")
    if made and rule.resource != "crons":
        STAMP.set(part)
    asked = fields.get("metadata")
    if (made and asked is None) or isinstance(asked, dict):
        fields["metadata"] = joined(asked or {}, part)


async def _metadata(edge: Edge, owner: str, kind: str, name: str) -> Json | None:
    """None for what does not exist, and for the assistants that the project itself has."""
    store = edge.rt.store
    try:
        if kind == "assistant":
            found = await store.get_assistant(name, owner)
            return found.metadata if found else None
        if kind == "run":  # without its thread in the path
            runs = [run for run in await store.runs_by_id([name]) if run.owner == owner]
            return (await store.get_thread(runs[0].thread_id, owner)).metadata if runs else None
        if kind == "cron":
            return (await store.get_cron(name, owner)).metadata
        return (await store.get_thread(name, owner)).metadata
    except NotFound:
        return None
