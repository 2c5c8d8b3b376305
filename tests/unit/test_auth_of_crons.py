"""Handlers and crons: what a cron makes belongs to who made the cron."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph_sdk import Auth

from functions.api.access.project_auth import ProjectAuth
from graph.runtime.crons import fire_crons
from tests.fixtures.service import Service, service

CRON = {"assistant_id": "steps", "schedule": "0 * * * *", "input": {"log": ["x"]}}
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def as_user(name: str) -> dict[str, Any]:
    return {"headers": {"Authorization": name}}


def guarded(auth: Auth) -> Service:
    """One owner of all rows: only handlers' filters part the users."""

    @auth.authenticate
    async def authenticate(authorization: str) -> Any:
        return {"identity": authorization, "org": "acme"}

    own = ProjectAuth(lambda: auth, claim="org")
    return service(identify=own.identify, permit=own.permit)


def by_owner_of_everything() -> Auth:
    auth = Auth()

    @auth.on
    async def own(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
        return {"owner": ctx.user.identity}

    return auth


def by_owner_of_threads() -> Auth:
    auth = Auth()

    @auth.on.threads
    async def own(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
        return {"owner": ctx.user.identity, "teams": {"$contains": [ctx.user.identity]}}

    @auth.on.crons
    async def all_of_them(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
        return {"kind": "cron"}

    return auth


@pytest.mark.parametrize("auth", [by_owner_of_everything(), by_owner_of_threads()])
async def test_who_made_a_cron_finds_the_threads_it_makes_and_nobody_else(auth: Auth) -> None:
    api = guarded(auth)
    ann, bob = as_user("ann"), as_user("bob")
    made = await api.call("POST", "/runs/crons", {**CRON, "metadata": {"owner": "bob"}}, **ann)
    at = f"/runs/crons/{made['cron_id']}"
    await api.call("PATCH", at, {"metadata": {"owner": "bob", "n": 1}}, **ann)

    assert await fire_crons(api.rt, limit=10, now=TOMORROW) == 1

    (thread,) = await api.call("POST", "/threads/search", {}, **ann)
    path = f"/threads/{thread['thread_id']}"
    assert (await api.call("GET", path, **ann))["metadata"]["owner"] == "ann"
    assert len(await api.call("GET", f"{path}/runs", **ann)) == 1
    assert await api.call("POST", "/threads/search", {}, **bob) == []
    await api.call("GET", path, status=404, **bob)


async def test_who_may_not_make_runs_may_not_make_crons() -> None:
    auth = Auth()

    @auth.on.threads.create_run
    async def only_ann(ctx: Auth.types.AuthContext, value: Any) -> bool:
        return ctx.user.identity == "ann" and value["assistant_id"] == "steps"

    api = guarded(auth)
    refused = await api.call("POST", "/runs/crons", CRON, status=403, **as_user("bob"))
    assert "create_run" in refused["detail"]
    await api.call("POST", "/runs/crons", CRON, **as_user("ann"))
    assert await api.call("POST", "/runs/crons/count", {}, **as_user("bob")) == 1


async def test_a_cron_needs_a_thread_that_its_maker_could_run_on() -> None:
    api = guarded(by_owner_of_threads())
    ann, bob = as_user("ann"), as_user("bob")
    thread_id = (await api.call("POST", "/threads", {}, **ann))["thread_id"]
    path = f"/threads/{thread_id}/runs/crons"
    await api.call("POST", path, CRON, status=404, **bob)
    made = await api.call("POST", path, CRON, **ann)
    assert made["metadata"] == {"kind": "cron"}
