"""`@auth.authenticate`: what it is given, what it may return, and what breaks it."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph_sdk import Auth

from functions.api.access.project_auth import ProjectAuth
from graph.adapters.registry import Registry
from tests.fixtures.auth import as_user, documented, guarded, thread_of
from tests.fixtures.service import service


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
