"""What the handlers of a project's `auth` are asked, and what comes of their answers."""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from langgraph_sdk import Auth

from functions.api.access.callers import Caller, User
from functions.api.access.permission import permitted
from functions.api.request.limits import StrictJson
from tests.fixtures.auth import as_user, documented, guarded, only, thread_of
from tests.fixtures.service import Service


@pytest.fixture
def api() -> Service:
    return guarded(documented())


def a_body(said: Any) -> Any:
    """What a server hands over of a body."""
    text = b"" if said is None else orjson.dumps(said)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": text, "more_body": False}

    return receive


async def test_a_search_for_what_is_hidden_finds_nothing() -> None:
    api = guarded(only(lambda ctx: {"owner": ctx.user.identity}), claim="")
    await thread_of(api, "ann")
    asked = {"metadata": {"owner": "bob"}}
    answer = await api.http.post("/threads/search", json=asked, **as_user("ann"))
    assert (answer.json(), answer.headers["x-pagination-total"]) == ([], "0")
    assert await api.call("POST", "/threads/count", asked, **as_user("ann")) == 0


@pytest.mark.parametrize(
    ("filters", "metadata", "visible"),
    [
        ({"team": "red"}, {"team": "red"}, True),
        ({"team": "red"}, {"team": "blue"}, False),
        ({"team": {"$eq": "red"}}, {"team": "red"}, True),
        ({"team": {"$eq": "red"}}, {}, False),
        ({"members": {"$contains": "ann"}}, {"members": ["bob", "ann"]}, True),
        ({"members": {"$contains": ["ann", "bob"]}}, {"members": ["ann"]}, False),
        ({"members": {"$contains": ["ann", "bob"]}}, {"members": ["bob", "x", "ann"]}, True),
        ({"team": "red", "members": {"$contains": "ann"}}, {"team": "red"}, False),
        (None, {}, True),
        (True, {}, True),
    ],
)
async def test_filters(filters: Any, metadata: dict[str, Any], visible: bool) -> None:
    asked: list[Any] = []  # while a thread is made, nothing is filtered
    api = guarded(only(lambda ctx: filters if asked else None), claim="")
    thread_id = await thread_of(api, "ann", metadata=metadata)
    asked.append(filters)

    got = await api.http.get(f"/threads/{thread_id}", **as_user("ann"))
    found = await api.call("POST", "/threads/search", {}, **as_user("ann"))

    assert got.status_code == (200 if visible else 404)
    assert len(found) == visible


@pytest.mark.parametrize("filters", [{"a": {"$gt": 1}}, {"$or": []}, "owner", 7])
async def test_a_filter_that_is_none_lets_nobody_through(filters: Any) -> None:
    api = guarded(only(lambda ctx: filters), claim="")
    for method, path in (("POST", "/threads"), ("POST", "/threads/search")):
        refused = await api.http.request(method, path, json={}, **as_user("ann"))
        assert refused.status_code == 500
        assert list(refused.json()) == ["detail"]


async def test_a_filter_stamps_what_is_made_over_what_the_client_says() -> None:
    api = guarded(
        only(lambda ctx: {"owner": ctx.user.identity, "members": {"$contains": "ann"}}), claim=""
    )
    thread_id = await thread_of(api, "ann", metadata={"owner": "bob", "members": ["x"]})
    thread = await api.call("GET", f"/threads/{thread_id}", **as_user("ann"))
    assert thread["metadata"] == {"owner": "ann", "members": ["x", "ann"]}
    changed = await api.call(
        "PATCH", f"/threads/{thread_id}", {"metadata": {"owner": "bob"}}, **as_user("ann")
    )
    assert changed["metadata"]["owner"] == "ann"


async def test_the_most_specific_handler_is_asked_and_may_change_the_value() -> None:
    auth = only(None)
    asked: list[tuple[str, str, Any]] = []

    @auth.on
    async def deny(ctx: Any, value: Any) -> bool:
        return False

    @auth.on.threads.create
    async def create(ctx: Auth.types.AuthContext, value: Any) -> None:
        asked.append((ctx.resource, ctx.action, deepcopy(value)))
        value["metadata"]["by"] = "create"

    @auth.on.threads.create_run
    async def create_run(ctx: Any, value: Any) -> None:
        asked.append((ctx.resource, ctx.action, value["thread_id"]))
        value["kwargs"]["config"] = {"tags": ["seen"]}

    api = guarded(auth, claim="")
    thread_id = await thread_of(api, "ann")
    body = {"assistant_id": "steps", "input": {"log": []}}
    run = await api.call("POST", f"/threads/{thread_id}/runs", body, **as_user("ann"))

    thread = await api.call("GET", f"/threads/{thread_id}", **as_user("ann"))
    assert thread["metadata"]["by"] == "create"
    assert run["kwargs"]["config"]["tags"] == ["seen"]
    assert asked[0] == ("threads", "create", {"metadata": {}})
    assert asked[1] == ("threads", "create_run", UUID(thread_id))
    refused = await api.call("POST", "/assistants/search", {}, status=403, **as_user("ann"))
    assert refused == {"detail": "you may not search assistants"}


async def test_a_handlers_own_refusals_keep_their_status() -> None:
    for raised, status, detail in (
        (Auth.exceptions.HTTPException(418, "tea"), 418, "tea"),
        (AssertionError("no"), 403, "no"),
    ):

        def refuse(ctx: Any, error: Exception = raised) -> None:
            raise error

        api = guarded(only(refuse), claim="")
        refused = await api.call("POST", "/threads", {}, status=status, **as_user("ann"))
        assert refused == {"detail": detail}


@pytest.mark.parametrize(
    ("method", "path", "body", "read"),
    [
        ("PUT", "/store/items", {"namespace": ["n"], "key": "k", "value": {}}, "namespace"),
        ("DELETE", "/store/items", {"namespace": ["n"], "key": "k"}, "namespace"),
        ("POST", "/store/items/search", {"namespace_prefix": ["n"]}, "namespace_prefix"),
        ("POST", "/store/namespaces", {"prefix": ["n"]}, "prefix"),
        ("GET", "/store/items?namespace=n&key=k", None, "namespace"),
    ],
)
async def test_the_store_is_asked_with_the_namespace_that_a_handler_leaves(
    method: str, path: str, body: Any, read: str
) -> None:
    auth = only(None)
    seen: list[Any] = []

    @auth.on.store
    async def scope(ctx: Any, value: Any) -> None:
        seen.append(value["namespace"])
        value["namespace"] = (ctx.user.identity, *value["namespace"])

    api = guarded(auth, claim="")
    url = httpx.URL(path)
    request = StrictJson(
        {
            "type": "http",
            "method": method,
            "path": url.path,
            "query_string": url.query,
            "headers": [],
            "path_params": {},
            "app": api.app,
            "route": SimpleNamespace(path=url.path),
            "state": {"caller": Caller("ann", User({"identity": "ann"}))},
        },
        a_body(body),
    )
    await permitted(request)

    assert seen == [("n",)]
    if body is None:
        assert dict(request.query_params) == {"key": "k", "namespace": "ann.n"}
    else:
        assert (await request.json())[read] == ["ann", "n"]


async def test_a_label_with_a_dot_cannot_lead_elsewhere() -> None:
    auth = only(None)

    @auth.on.store
    async def scope(ctx: Any, value: Any) -> None:
        value["namespace"] = (ctx.user.identity,)

    api = guarded(auth, claim="")
    answer = await api.http.get("/store/items?namespace=n&key=k", **as_user("ann.bob"))
    assert (answer.status_code, "dot" in answer.json()["detail"]) == (422, True)


async def test_a_route_without_a_rule_is_closed_to_handlers(
    api: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.api.access.permission.RULES", {})
    await api.call("POST", "/threads", {}, status=403, **as_user("ann"))
    assert "POST /threads" in caplog.text
