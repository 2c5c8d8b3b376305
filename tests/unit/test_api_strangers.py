"""Every route of the app as the wrong owner: nothing is found, nothing is changed.

The routes come from the app: one that is not known here, or asks for no permission, fails.
"""

import asyncio
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from uuid import uuid4

import orjson
import pytest
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Mount, WebSocketRoute

from functions.api.access.callers import Caller
from functions.api.access.rules import OPEN, RULES
from functions.api.app import create_app
from tests.fixtures.service import Service, service

OWNER, STRANGER = "alice", "mallory"
RUN: dict[str, Any] = {"assistant_id": "steps", "input": {"log": []}}

# What a request to a route says; those that name nothing of the owner's have their own tests.
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/assistants/{assistant_id}"): {"name": "mine"},
    ("POST", "/assistants/{assistant_id}/versions"): {},
    ("POST", "/assistants/{assistant_id}/latest"): {"version": 1},
    ("PATCH", "/threads/{thread_id}"): {"metadata": {"mine": True}},
    ("POST", "/threads/{thread_id}/copy"): {},
    ("POST", "/threads/{thread_id}/state"): {"values": {"log": ["x"]}},
    ("POST", "/threads/{thread_id}/state/checkpoint"): {"checkpoint": {}},
    ("POST", "/threads/{thread_id}/history"): {},
    ("POST", "/threads/{thread_id}/runs"): RUN,
    ("POST", "/threads/{thread_id}/runs/wait"): RUN,
    ("POST", "/threads/{thread_id}/runs/stream"): RUN,
    ("POST", "/threads/{thread_id}/runs/crons"): {**RUN, "schedule": "* * * * *"},
    ("PATCH", "/runs/crons/{cron_id}"): {"enabled": False},
    ("POST", "/threads/{thread_id}/commands"): {
        "id": 1,
        "method": "input.respond",
        "params": {"interrupt_id": "i", "response": 1},
    },
    ("POST", "/threads/{thread_id}/stream/events"): {},
}
# They name nothing in their path: what they find or make is the caller's own.
OWN: dict[tuple[str, str], Any] = {
    ("POST", "/assistants"): {"graph_id": "steps"},
    ("POST", "/assistants/search"): {},
    ("POST", "/assistants/count"): {},
    ("POST", "/threads"): {},
    ("POST", "/threads/search"): {},
    ("POST", "/threads/count"): {},
    ("POST", "/threads/prune"): {"thread_ids": ["THREAD"]},
    ("POST", "/runs"): RUN,
    ("POST", "/runs/batch"): [RUN],
    ("POST", "/runs/cancel"): {"thread_id": "THREAD", "run_ids": ["RUN"]},
    ("POST", "/runs/crons"): {**RUN, "schedule": "* * * * *"},
    ("POST", "/runs/crons/search"): {},
    ("POST", "/runs/crons/count"): {},
    ("PUT", "/store/items"): {"namespace": ["a"], "key": "k", "value": {"mine": True}},
    ("GET", "/store/items"): None,
    ("DELETE", "/store/items"): {"namespace": ["a"], "key": "k"},
    ("POST", "/store/items/search"): {"namespace_prefix": ["a"]},
    ("POST", "/store/namespaces"): {},
    ("POST", "/mcp"): {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    ("GET", "/.well-known/agent-card.json"): None,
}
SOCKET = "/threads/{thread_id}/stream/events"
SOCKET_ROUTE = "/threads/{thread_id:uuid}/stream/events"
# As /runs, and then they wait for a worker.
WAITING = {("POST", "/runs/wait"), ("POST", "/runs/stream")}


def routes() -> Iterator[tuple[str, str]]:
    """(method, path) of all the app answers, mounted apps and documents left out."""
    for found in iter_route_contexts(create_app().routes):
        if isinstance(found.original_route, APIRoute):
            for method in sorted((found.methods or set()) - {"HEAD"}):
                yield method, str(found.path)


ROUTES = sorted(set(routes()) - {("GET", path) for path in OPEN})
NAMING = [route for route in ROUTES if "{" in route[1]]


def test_the_routes_are_all_there() -> None:
    assert ("POST", "/threads/{thread_id}/runs") in ROUTES
    assert ("GET", "/resume/{seq}/threads/{thread_id}/runs/{run_id}") in ROUTES
    assert set(RULES) <= set(ROUTES), "a rule without a route"


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_every_route_asks_for_a_permission(route: tuple[str, str]) -> None:
    assert route in RULES, "add it to functions/api/access/rules.py"
    assert "{" in route[1] or route in OWN or route in WAITING, "add it to OWN here"


def test_nothing_but_routes_is_open_or_unknown() -> None:
    for found in iter_route_contexts(create_app().routes):
        known = isinstance(found.original_route, WebSocketRoute) and found.path == SOCKET_ROUTE
        assert known or not isinstance(found.original_route, Mount | WebSocketRoute), (
            "walk it as the wrong owner, too"
        )


async def by_header(request: HTTPConnection) -> Caller:
    return Caller(request.headers.get("x-owner", STRANGER))


class Estate:
    """What the owner has, and its names."""

    def __init__(self) -> None:
        self.api: Service = service(identify=by_header)
        self.names: dict[str, str] = {}

    async def fill(self) -> None:
        mine: dict[str, Any] = {"headers": {"x-owner": OWNER}}
        call = self.api.call
        thread = await call("POST", "/threads", {"metadata": {"secret": "s3cret"}}, **mine)
        at = f"/threads/{thread['thread_id']}"
        run = await call("POST", f"{at}/runs", {**RUN, "input": {"log": ["s3cret"]}}, **mine)
        await self.api.work()
        await call("POST", f"{at}/runs", RUN, **mine)  # one that waits for a worker
        history = await call("GET", f"{at}/history", **mine)
        self.names = {
            "thread_id": thread["thread_id"],
            "run_id": run["run_id"],
            "checkpoint_id": history[0]["checkpoint_id"],
            "seq": "0",
            "namespace": "x",
        }
        made = await self.api.http.post(
            "/assistants", json={"graph_id": "steps", "name": "s3cret"}, **mine
        )
        self.names["assistant_id"] = made.json().get("assistant_id", str(uuid4()))
        cron = {**RUN, "schedule": "0 0 1 1 *", "metadata": {"secret": "s3cret"}}
        made = await self.api.http.post("/runs/crons", json=cron, **mine)
        self.names["cron_id"] = made.json().get("cron_id", str(uuid4()))

    def tables(self) -> Any:
        """All rows, to tell that none has changed."""
        store: Any = self.api.rt.store
        kept = ("threads", "runs", "crons", "assistants", "versions", "shelves", "events")
        return {name: deepcopy(getattr(store.tables, name, None)) for name in kept}

    def owned(self) -> Any:
        """Rows of the owner alone: a stranger may make their own."""
        rows = self.tables()
        rows["threads"] = {
            k: repr(row) for k, row in rows["threads"].items() if row.thread.owner == OWNER
        }
        rows["runs"] = {k: run for k, run in rows["runs"].items() if run.owner == OWNER}
        rows["crons"] = {k: cron for k, cron in rows["crons"].items() if cron.owner == OWNER}
        for name in ("assistants", "versions"):
            rows[name] = {key: row for key, row in rows[name].items() if key[0] == OWNER}
        for name in ("shelves", "events"):
            rows[name] = sorted(set(rows[name]) & {*rows["threads"], *rows["runs"]})
        return rows


@pytest.fixture
async def estate() -> Estate:
    made = Estate()
    await made.fill()
    return made


def filled(said: Any, names: dict[str, str]) -> Any:
    """A body with the owner's ids in it."""
    text = {"THREAD": names["thread_id"], "RUN": names["run_id"]}
    if isinstance(said, dict):
        return {key: filled(value, names) for key, value in said.items()}
    if isinstance(said, list):
        return [filled(value, names) for value in said]
    return text.get(said, said) if isinstance(said, str) else said


@pytest.mark.parametrize("route", NAMING, ids=" ".join)
async def test_a_stranger_who_knows_every_id_gets_nothing(
    estate: Estate, route: tuple[str, str]
) -> None:
    method, template = route
    path = re.sub(r"{(\w+)(:\w+)?}", lambda found: estate.names[found[1]], template)
    body = filled(BODIES.get(route), estate.names)
    before = repr(estate.tables())

    answer = await estate.api.http.request(method, path, json=body)

    assert answer.status_code in (403, 404), (path, answer.status_code, answer.text)
    assert "s3cret" not in answer.text
    assert repr(estate.tables()) == before


@pytest.mark.parametrize("route", sorted(set(ROUTES) & set(OWN)), ids=" ".join)
async def test_a_stranger_who_names_nothing_sees_and_changes_only_their_own(
    estate: Estate, route: tuple[str, str]
) -> None:
    body = filled(OWN[route], estate.names)
    params = {"namespace": "a", "key": "k"} if route[0] == "GET" else None
    before = estate.owned()

    answer = await estate.api.http.request(*route, json=body, params=params)

    assert "s3cret" not in answer.text
    assert estate.owned() == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs", {**RUN, "if_not_exists": "create"}),
        ("commands", {"id": 1, "method": "run.start", "params": RUN}),
    ],
)
async def test_a_stranger_cannot_make_a_thread_that_is_there_already(
    estate: Estate, path: str, body: Any
) -> None:
    before = repr(estate.tables())
    at = f"/threads/{estate.names['thread_id']}/{path}"
    answer = await estate.api.http.post(at, json=body)
    assert answer.status_code == 409 or answer.json()["type"] == "error"
    assert repr(estate.tables()) == before


async def test_a_stranger_is_told_nothing_over_a_websocket(estate: Estate) -> None:
    before = estate.owned()
    asked = [
        {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}},
        {"id": 2, "method": "run.start", "params": RUN},
        {"id": 3, "method": "input.respond", "params": {"interrupt_id": "i", "response": 1}},
    ]
    path = SOCKET.format(thread_id=estate.names["thread_id"])

    said = await over_a_socket(estate.api.app, path, STRANGER, asked)
    own = await over_a_socket(estate.api.app, path, OWNER, asked[:1])

    assert [(one["type"], one["id"]) for one in said] == [("error", 1), ("error", 2), ("error", 3)]
    assert "s3cret" not in str(said)
    assert estate.owned() == before
    assert [one["type"] for one in own] == ["success"]


async def over_a_socket(app: Any, path: str, owner: str, asked: list[Any]) -> list[Any]:
    """The answers to frames, one after the other, of a connection that then leaves."""
    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"x-owner", owner.encode()), (b"host", b"api")],
        "subprotocols": [],
        "state": {},
    }
    coming: asyncio.Queue[Any] = asyncio.Queue()
    coming.put_nowait({"type": "websocket.connect"})
    answers: list[Any] = []

    def ask() -> None:
        if len(answers) < len(asked):
            frame = orjson.dumps(asked[len(answers)]).decode()
            coming.put_nowait({"type": "websocket.receive", "text": frame})
        else:
            coming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            answers.append(orjson.loads(message["text"]))
        ask()

    async with asyncio.timeout(10):
        await app(scope, coming.get, send)
    return answers
