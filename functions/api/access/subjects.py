"""What a handler is told of a request, in the words of LangGraph's own server."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request
from starlette.exceptions import HTTPException

from functions.api.access.callers import Caller, User
from functions.api.access.rules import Filtering, Rule
from graph.runtime.models import Json
from graph.runtime.stamps import joined

Permit = Callable[[User, str, str, Json], Awaitable[Json]]

# What a handler finds under `kwargs` of a run to be; the rest of the request lies beside it.
KWARGS = (
    "input",
    "command",
    "config",
    "context",
    "stream_mode",
    "interrupt_before",
    "interrupt_after",
    "webhook",
    "checkpoint",
    "checkpoint_id",
)
NAMESPACES = {"search": "namespace_prefix", "list_namespaces": "prefix"}
NAMED = {"threads": "thread", "assistants": "assistant", "crons": "cron"}


async def ask(permit: Permit, caller: Caller, rule: Rule, request: Request, body: Any) -> Json:
    """The handlers' filters together; what they change of the value is changed of the request."""
    assert caller.user is not None, "handlers are asked for users"
    value = _value(rule, request, body)
    part: Json = {}
    for action in rule.actions:
        part = joined(part, await permit(caller.user, rule.resource, action, value))
    if rule.filtering is Filtering.PLACED:
        _place(rule, request, body, value.get("namespace"))
    elif isinstance(body, dict):
        body.update(value.pop("kwargs", {}) if "create_run" in rule.actions else {})
        body.update({k: v for k, v in value.items() if k not in request.path_params})
    return part


def subjects_of(
    rule: Rule, path: Mapping[str, Any], fields: Json
) -> Iterator[tuple[str, str, bool]]:
    """(kind, id, whether the path names it) of all that exists already and a filter is about."""
    for kind in ("thread", "run", "assistant", "cron"):
        key = f"{kind}_id"
        if kind == "run" and "thread_id" in path:
            continue  # it is found on that thread only
        if kind == "thread" and rule.resource == "crons":
            continue  # handlers of threads are asked about it
        if key in path:
            yield kind, str(path[key]), True
        elif isinstance(fields.get(key), str) and NAMED.get(rule.resource) == kind:
            yield kind, fields[key], False


def _value(rule: Rule, request: Request, body: Any) -> Json:
    named = {key: _uuid(text) for key, text in request.path_params.items()}
    if rule.filtering is Filtering.PLACED:
        return _place_of(rule, request, body)
    fields = dict(body) if isinstance(body, dict) else {}
    if fields or rule.filtering in (Filtering.MADE, Filtering.FOUND):
        fields["metadata"] = fields.get("metadata") or {}
    if "create_run" in rule.actions:
        kwargs = {key: fields.pop(key) for key in KWARGS if key in fields}
        return {"thread_id": None, **fields, **named, "kwargs": kwargs}
    return {**fields, **named}


def _uuid(text: Any) -> Any:
    try:
        return UUID(str(text))
    except ValueError:
        return text


def _place_of(rule: Rule, request: Request, body: Any) -> Json:
    if isinstance(body, dict):
        said = body.get(NAMESPACES.get(rule.actions[0], "namespace"))
        return {**body, "namespace": tuple(said) if isinstance(said, list) else None}
    said = [part for text in request.query_params.getlist("namespace") for part in text.split(".")]
    return {"namespace": tuple(said), "key": request.query_params.get("key")}


def _place(rule: Rule, request: Request, body: Any, namespace: Any) -> None:
    """Put the namespace that the handler left where the route reads it."""
    parts = None if namespace is None else [str(part) for part in namespace]
    if isinstance(body, dict):
        body[NAMESPACES.get(rule.actions[0], "namespace")] = parts
        return
    if any("." in part for part in parts or ()):
        raise HTTPException(422, "query.namespace: a label must not contain a dot")
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != "namespace"]
    query = [*kept, ("namespace", ".".join(parts or ()))]
    request.scope["query_string"] = urlencode(query).encode()
    request.__dict__.pop("_query_params", None)
