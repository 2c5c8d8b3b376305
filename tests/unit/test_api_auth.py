"""The `auth` of a project: LangGraph's handlers, as users write them."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph_sdk import Auth

from functions.api.access.callers import Caller, User
from functions.api.access.permission import permitted
from functions.api.access.project_auth import ProjectAuth
from functions.api.request.limits import StrictJson
from graph.adapters.registry import Registry
from tests.fixtures.graphs import Log
from tests.fixtures.service import Service, service

INPUT: dict[str, Any] = {"log": []}


def a_body(said: Any) -> Any:
    """What a server hands over of a body."""
    text = b"" if said is None else orjson.dumps(said)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": text, "more_body": False}

    return receive


def documented() -> Auth:
    """As LangGraph's documentation has it: everybody sees what they made."""
    auth = Auth()

    @auth.authenticate
    async def authenticate(authorization: str | None) -> Any:
        scheme, _, name = (authorization or "").partition(" ")
        if scheme != "Bearer" or not name:
            raise Auth.exceptions.HTTPException(401, "who are you?", {"X-Hint": "Bearer"})
        return {"identity": name, "permissions": ["read"], "org": "acme", "token": b"t"}

    @auth.on
    async def own(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
        metadata = value.setdefault("metadata", {})
        metadata["owner"] = ctx.user.identity
        return {"owner": ctx.user.identity}

    return auth


def guarded(auth: Auth | Any, *, claim: str = "org", **more: Any) -> Service:
    """Rows are the organisation's, so that only filters part its users."""
    own = ProjectAuth(lambda: auth, claim=claim)
    return service(identify=own.identify, permit=own.permit, **more)


def as_user(name: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {name}"}}


@pytest.fixture
def api() -> Service:
    return guarded(documented())


async def thread_of(api: Service, name: str, **body: Any) -> str:
    made: str = (await api.call("POST", "/threads", body, **as_user(name)))["thread_id"]
    return made


async def test_nobody_gets_in_without_a_name(api: Service) -> None:
    answer = await api.http.post("/threads", json={})
    assert (answer.status_code, answer.json()) == (401, {"detail": "who are you?"})
    assert answer.headers["x-hint"] == "Bearer"
    assert (await api.http.get("/no/such/path")).status_code == 401
    assert (await api.http.get("/ok")).json() == {"ok": True}
    assert (await api.http.get("/info")).status_code == 200


async def test_what_one_makes_the_other_does_not_find(api: Service) -> None:
    thread_id = await thread_of(api, "ann", metadata={"a": 1})
    ann, bob = as_user("ann"), as_user("bob")
    at = f"/threads/{thread_id}"

    mine = await api.call("GET", at, **ann)

    assert mine["metadata"] == {"a": 1, "owner": "ann"}
    for method, path, body in (
        ("GET", at, None),
        ("PATCH", at, {"metadata": {"owner": "bob"}}),
        ("DELETE", at, None),
        ("GET", f"{at}/state", None),
        ("POST", f"{at}/state", {"values": INPUT}),
        ("POST", f"{at}/history", {}),
        ("POST", f"{at}/runs", {"assistant_id": "steps", "input": INPUT}),
        ("GET", f"{at}/runs", None),
        ("POST", f"{at}/copy", None),
    ):
        refused = await api.call(method, path, body, status=404, **bob)
        assert refused == {"detail": f"thread {thread_id} does not exist"}, path
    assert await api.call("GET", at, **ann) == mine


async def test_searches_show_each_their_own(api: Service) -> None:
    ids = {name: await thread_of(api, name, metadata={"k": 1}) for name in ("ann", "bob")}
    for name, thread_id in ids.items():
        for body in ({}, {"metadata": {"k": 1}}, {"metadata": None}):
            found = await api.call("POST", "/threads/search", body, **as_user(name))
            assert [thread["thread_id"] for thread in found] == [thread_id]
            assert await api.call("POST", "/threads/count", body, **as_user(name)) == 1


def only(filters: Any) -> Auth:
    """Users by name, and one filter for all that is not made."""
    auth = Auth()

    @auth.authenticate
    async def authenticate(authorization: str) -> str:
        return authorization.removeprefix("Bearer ")

    @auth.on.threads
    async def see(ctx: Any, value: Any) -> Any:
        return filters(ctx) if callable(filters) else filters

    return auth


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


async def test_threads_that_runs_make_are_their_makers(api: Service) -> None:
    thread_id = str(uuid4())
    body = {"assistant_id": "steps", "input": INPUT, "if_not_exists": "create"}
    run = await api.call("POST", f"/threads/{thread_id}/runs", body, **as_user("ann"))
    assert run["metadata"]["owner"] == "ann"
    found = await api.call("GET", f"/threads/{thread_id}", **as_user("ann"))
    assert found["metadata"]["owner"] == "ann"
    await api.call("POST", f"/threads/{thread_id}/runs", body, status=404, **as_user("bob"))


async def test_taking_anothers_thread_by_its_id(api: Service) -> None:
    thread_id = await thread_of(api, "ann")
    for if_exists in ("raise", "do_nothing"):
        body = {"thread_id": thread_id, "if_exists": if_exists}
        await api.call("POST", "/threads", body, status=409, **as_user("bob"))


async def test_the_graph_is_told_who_asks_whatever_the_client_says(api: Service) -> None:
    thread_id = await thread_of(api, "ann")
    forged = {"langgraph_auth_user": {"identity": "root"}, "langgraph_auth_x": 1, "mine": 2}
    body = {"assistant_id": "steps", "input": INPUT, "config": {"configurable": forged}}

    run = await api.call("POST", f"/threads/{thread_id}/runs", body, **as_user("ann"))

    conf = run["kwargs"]["config"]["configurable"]
    assert conf["langgraph_auth_user"]["identity"] == "ann"
    assert conf["langgraph_auth_user"]["org"] == "acme"
    assert conf["langgraph_auth_user_id"] == "ann"
    assert conf["langgraph_auth_permissions"] == ["read"]
    assert conf["mine"] == 2
    assert "langgraph_auth_x" not in conf


async def test_a_node_finds_the_user_in_its_config_whatever_an_assistant_says() -> None:
    def whoami(state: Log, config: RunnableConfig) -> Any:
        conf = config["configurable"]
        return {"log": [conf["langgraph_auth_user"]["org"], conf["langgraph_auth_user_id"]]}

    graph: Any = StateGraph(Log)
    graph = graph.add_node("whoami", whoami).add_edge(START, "whoami").compile()
    own = ProjectAuth(documented)
    api = service(more_graphs={"whoami": graph}, identify=own.identify, permit=own.permit)
    forged = {"configurable": {"langgraph_auth_user_id": "root"}}
    body = {"graph_id": "whoami", "config": forged}
    assistant = await api.call("POST", "/assistants", body, **as_user("ann"))
    at = f"/threads/{await thread_of(api, 'ann')}"
    asked = {"assistant_id": assistant["assistant_id"], "input": INPUT, "context": {"a": 1}}

    await api.call("POST", f"{at}/runs", asked, **as_user("ann"))
    await api.work()

    state = await api.call("GET", f"{at}/state", **as_user("ann"))
    assert state["values"] == {"log": ["acme", "ann"]}


async def test_without_auth_nobody_can_pretend_to_be_somebody() -> None:
    api = service()
    forged = {"langgraph_auth_user": {"identity": "root"}, "mine": 2}
    run = await api.run(await api.thread(), "steps", input=INPUT, config={"configurable": forged})
    assert run["kwargs"]["config"]["configurable"] == {"mine": 2}


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
    body = {"assistant_id": "steps", "input": INPUT}
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


async def test_bulk_edits_touch_ones_own_threads_only(api: Service) -> None:
    mine, other = await thread_of(api, "ann"), await thread_of(api, "bob")
    body = {"thread_ids": [mine, other]}
    assert await api.call("POST", "/threads/prune", body, **as_user("ann")) == {"pruned_count": 1}
    await api.call("GET", f"/threads/{other}", **as_user("bob"))
    every = await api.call("POST", "/runs/cancel", {"status": "all"}, status=403, **as_user("ann"))
    assert "thread_id" in every["detail"]
    one = {"thread_id": other, "run_ids": [str(uuid4())]}
    await api.call("POST", "/runs/cancel", one, status=404, **as_user("ann"))


async def test_runs_found_without_their_thread_are_filtered_by_it(api: Service) -> None:
    made = await api.call(
        "POST", "/runs", {"assistant_id": "steps", "input": INPUT}, **as_user("ann")
    )
    at = f"/runs/{made['run_id']}"
    assert (await api.call("GET", at, **as_user("ann")))["run_id"] == made["run_id"]
    await api.call("GET", at, status=404, **as_user("bob"))


async def test_assistants_and_crons_are_filtered_by_their_own_metadata(api: Service) -> None:
    run = {"assistant_id": "steps", "input": INPUT, "schedule": "0 0 1 1 *"}
    ann, bob = as_user("ann"), as_user("bob")
    for path, key, body in (
        ("/assistants", "assistant_id", {"graph_id": "steps"}),
        ("/runs/crons", "cron_id", run),
    ):
        made = await api.call("POST", path, body, **ann)
        at = f"{path}/{made[key]}"
        assert made["metadata"]["owner"] == "ann"
        assert (await api.call("GET", at, **ann))[key] == made[key]
        for method, change in (("GET", None), ("PATCH", {"metadata": {}}), ("DELETE", None)):
            await api.call(method, at, change, status=404, **bob)
        assert await api.call("POST", f"{path}/search", {}, **bob) == []
        assert await api.call("POST", f"{path}/count", {}, **ann) == 1
    taken = {
        "graph_id": "steps",
        "assistant_id": made.get("assistant_id"),
        "if_exists": "do_nothing",
    }
    found = await api.call("POST", "/assistants/search", {}, **ann)
    taken["assistant_id"] = found[0]["assistant_id"]
    await api.call("POST", "/assistants", taken, status=409, **bob)
    await api.call("GET", "/assistants/steps", **bob)  # the project's own


async def test_a_cron_on_anothers_thread(api: Service) -> None:
    at = f"/threads/{await thread_of(api, 'ann')}/runs/crons"
    run = {"assistant_id": "steps", "input": INPUT, "schedule": "0 0 1 1 *"}
    await api.call("POST", at, run, status=404, **as_user("bob"))
    made = await api.call("POST", at, run, **as_user("ann"))
    conf = made["payload"]["config"]["configurable"]
    assert conf["langgraph_auth_user_id"] == "ann"


async def test_deleting_an_assistants_threads_needs_a_free_hand_on_threads(api: Service) -> None:
    made = await api.call("POST", "/assistants", {"graph_id": "steps"}, **as_user("ann"))
    at = f"/assistants/{made['assistant_id']}"
    refused = await api.call("DELETE", f"{at}?delete_threads=true", status=403, **as_user("ann"))
    assert "threads" in refused["detail"]
    await api.call("DELETE", at, status=204, **as_user("ann"))


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


class Object:
    """A user as an object."""

    identity = "ann"
    permissions = ("write",)
    is_authenticated = True


@pytest.mark.parametrize(
    ("found", "status", "owner"),
    [
        ("ann", 200, "ann"),
        ({"identity": "ann"}, 200, "ann"),
        (Object(), 200, "ann"),
        ({"identity": "ann", "is_authenticated": False}, 401, None),
        ({"identity": ""}, 403, None),
        ({"identity": "a\nb"}, 403, None),
        ({"name": "ann"}, 500, None),
        (None, 500, None),
        (7, 500, None),
    ],
)
async def test_what_authenticate_may_return(found: Any, status: int, owner: str | None) -> None:
    auth = Auth()
    auth.authenticate(lambda: found)
    api = guarded(auth, claim="")
    answer = await api.http.post("/threads", json={})
    assert answer.status_code == status, answer.text
    if owner:
        thread = await api.rt.store.get_thread(answer.json()["thread_id"], owner)
        assert thread.owner == owner


async def test_a_claim_can_own_the_rows_and_is_missed_when_it_is_missing() -> None:
    api = guarded(documented(), claim="org")
    thread_id = await thread_of(api, "ann")
    assert (await api.rt.store.get_thread(thread_id, "acme")).metadata["owner"] == "ann"
    refused = await guarded(documented(), claim="tenant").http.post(
        "/threads", json={}, **as_user("ann")
    )
    assert refused.status_code == 403
    assert "tenant" in refused.json()["detail"]


async def test_authenticate_is_given_what_it_asks_for_by_name() -> None:
    seen: dict[str, Any] = {}
    auth = Auth()

    @auth.authenticate
    async def authenticate(
        request: Any,
        headers: Any,
        authorization: str,
        method: str,
        path: str,
        path_params: dict[str, str],
        query_params: dict[str, str],
        body: Any,
        scopes: list[str],
        spare: int = 5,
    ) -> str:
        seen.update(locals())
        return "ann"

    api = guarded(auth, claim="")
    thread_id = await api.thread()
    answer = await api.http.patch(
        f"/threads/{thread_id}?a=1",
        json={"metadata": {"x": 1}},
        headers={"Authorization": "Basic x", "X-Key": "k"},
    )

    assert answer.json()["metadata"] == {"x": 1}  # the body was read twice
    assert (seen["method"], seen["path"]) == ("PATCH", f"/threads/{thread_id}")
    assert seen["path_params"] == {"thread_id": thread_id}
    assert (seen["query_params"], seen["body"]) == ({"a": "1"}, {"metadata": {"x": 1}})
    assert seen["authorization"] == "Basic x"
    assert (seen["headers"]["x-key"], seen["headers"][b"x-key"]) == ("k", b"k")
    assert seen["headers"].get("absent") is None
    assert seen["request"].url.path == seen["path"]


async def test_an_unknown_parameter_lets_nobody_in() -> None:
    auth = Auth()

    @auth.authenticate
    async def authenticate(password: str) -> str:
        return "ann"

    refused = await guarded(auth).http.post("/threads", json={})
    assert refused.status_code == 500
    assert "password" not in refused.text


BROKEN = {
    "raises": "1 / 0",
    "names_nothing": "x = 1",
    "is_no_auth": "auth = 7",
    "asks_nobody": "from langgraph_sdk import Auth\nauth = Auth()",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_module_refuses_everything_and_says_why_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / f"auth_{uuid4().hex}.py").write_text(text)
    (file,) = tmp_path.glob("*.py")
    config = f'{{"graphs": {{"g": "./g.py:g"}}, "auth": {{"path": "./{file.name}:auth"}}}}'
    (tmp_path / "langgraph.json").write_text(config)
    own = ProjectAuth(Registry(tmp_path / "langgraph.json").auth)
    api = service(identify=own.identify, permit=own.permit)

    refused: httpx.Response = await api.http.post("/threads", json={})

    assert refused.status_code == 500
    assert refused.json() == {"detail": "the server cannot tell who asks: its log says why"}
    assert "auth" in caplog.text
    assert (await api.http.get("/ok")).status_code == 200


@pytest.mark.parametrize("auth", ["{}", '"./auth.py:auth"', '{"path": "auth"}', "false"])
async def test_an_auth_that_is_misspelt_is_no_way_in(tmp_path: Path, auth: str) -> None:
    (tmp_path / "langgraph.json").write_text(f'{{"graphs": {{"g": "./g.py:g"}}, "auth": {auth}}}')
    registry = Registry(tmp_path / "langgraph.json")
    assert registry.has_auth
    own = ProjectAuth(registry.auth)
    assert (await service(identify=own.identify).http.post("/threads", json={})).status_code == 500
