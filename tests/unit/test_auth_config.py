"""What langgraph.json says of who may call, beside the handlers themselves."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.requests import HTTPConnection

from functions.api.access.callers import Caller
from functions.api.access.configured import access_of
from functions.api.access.remembered import Remembered
from functions.api.access.security import KEYS
from functions.settings import Settings
from graph.adapters.auth_config import Cache, Security, auth_config
from graph.adapters.memory import MemoryStore
from graph.adapters.registry import Registry
from graph.errors import BadProject
from infra.local import check
from tests.fixtures.service import service

PATH = {"path": "./auth.py:auth"}
SCHEMES = {"OAuth2": {"type": "oauth2", "flows": {}}, "key": {"type": "apiKey", "name": "x"}}
HANDLER = """
from langgraph_sdk import Auth
auth = Auth()
asked = []

@auth.authenticate
async def authenticate(authorization, path):
    asked.append((authorization, path))
    assert authorization, "who are you?"
    return authorization
"""


def settings(folder: Path, **env: str) -> Settings:
    needed = {"DATABASE_URL": "x", "QUEUE_URL": "x", "BATON_CONFIG": folder / "langgraph.json"}
    return Settings.model_validate(needed | env)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "auth.py").write_text(HANDLER)
    return tmp_path


def says(folder: Path, **auth: Any) -> Path:
    said = {"graphs": {"g": "./g.py:g"}, "auth": PATH | auth}
    (folder / "langgraph.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("./auth.py:auth", "auth must be an object"),
        ({"path": "auth"}, "auth.path"),
        ({"cahce": {}}, "auth.cahce is not known"),
        ({"cache": {}}, "cache_keys"),
        ({"cache": {"cache_keys": []}}, "cache_keys"),
        ({"cache": {"cache_keys": "authorization"}}, "cache_keys"),
        ({"cache": {"cache_keys": ["a"], "ttl_seconds": 0}}, "ttl_seconds"),
        ({"cache": {"cache_keys": ["a"], "max_size": 1.5}}, "max_size"),
        ({"cache": {"cache_keys": ["a"], "max_size": True}}, "max_size"),
        ({"openapi": {}}, "auth.openapi.securitySchemes"),
        ({"openapi": {"securitySchemes": SCHEMES, "security": [{"Oauth": []}]}}, "no 'Oauth'"),
        ({"openapi": {"securitySchemes": SCHEMES, "security": {}}}, "security must be a list"),
        ({"openapi": {"securitySchemes": {}, "paths": {"/threads": {"post": [{"a": []}]}}}}, "'a'"),
        ({"openapi": {"securitySchemes": {}, "paths": {"/threads": []}}}, "paths./threads"),
    ],
)
def test_what_the_format_does_not_know_is_an_error(said: Any, why: str) -> None:
    with pytest.raises(BadProject, match=why):
        auth_config(PATH | said if isinstance(said, dict) else said)


async def test_a_wrong_one_lets_nobody_in(project: Path) -> None:
    env = settings(says(project, cache={"cache_keys": 1}))
    with pytest.raises(BadProject, match="cache_keys"):
        access_of(env, MemoryStore())


async def test_the_same_headers_are_asked_about_once(project: Path) -> None:
    access = access_of(
        settings(says(project, cache={"cache_keys": ["Authorization"]})), MemoryStore()
    )
    api = service(identify=access.identify)
    asked = Registry(project / "langgraph.json").named("./auth.py:asked")
    del asked[:]

    for who in ("ann", "ann", "bob", "ann"):
        await api.call("POST", "/threads/search", {}, headers={"Authorization": who})
    for _ in range(2):
        await api.call("POST", "/threads/search", {}, status=401)

    assert [who for who, _ in asked] == ["ann", "bob", None, None]


class Asked:
    """Tells callers apart by a header, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.now = 0.0

    async def __call__(self, request: HTTPConnection) -> Caller:
        self.count += 1
        return Caller(request.headers["user"])

    async def through(self, remembered: Remembered, **headers: str) -> str:
        request = SimpleNamespace(headers=headers)
        return (await remembered(cast(HTTPConnection, request))).owner


async def test_a_caller_is_remembered_for_so_long_and_no_more_than_so_many() -> None:
    asked = Asked()
    remembered = Remembered(asked, Cache(("user", "org"), 10, 2), clock=lambda: asked.now)

    async def counted(**headers: str) -> int:
        assert await asked.through(remembered, **headers) == headers["user"]
        return asked.count

    assert [await counted(user="a"), await counted(user="a")] == [1, 1]
    assert await counted(user="a", org="o") == 2  # all of the headers make the key
    asked.now = 10.0
    assert [await counted(user="a"), await counted(user="a")] == [3, 3]
    assert [await counted(user="b"), await counted(user="c")] == [4, 5]
    assert [await counted(user="c"), await counted(user="a")] == [5, 6]  # the oldest made room


async def test_what_no_header_tells_apart_is_never_remembered() -> None:
    asked = Asked()
    remembered = Remembered(asked, Cache(("authorization",), 10, 2))
    assert [await asked.through(remembered, user=name) for name in "ab"] == ["a", "b"]


async def test_the_document_says_how_callers_tell_who_they_are(project: Path) -> None:
    paths: Any = {"/threads": {"post": [{"key": []}]}}
    said = {"securitySchemes": SCHEMES, "security": [{"OAuth2": ["me"]}], "paths": paths}
    access = access_of(settings(says(project, openapi=said)), MemoryStore())
    document = await service(security=access.security).call("GET", "/openapi.json")
    assert document["components"]["securitySchemes"] == SCHEMES
    assert "Alone" in document["components"]["schemas"]
    assert document["security"] == [{"OAuth2": ["me"]}]
    assert document["paths"]["/threads"]["post"]["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/threads/search"]["post"]


async def test_a_path_that_the_api_has_not_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    wrong = Security({}, None, {"/thread": {"post": []}})
    await service(security=wrong).call("GET", "/openapi.json", status=500)
    assert "no post /thread" in caplog.text


async def test_api_keys_are_in_the_document_and_nobody_needs_one_without(project: Path) -> None:
    (project / "langgraph.json").write_text('{"graphs": {"g": "./g.py:g"}}')
    keys = access_of(settings(project, BATON_AUTH="keys"), MemoryStore())
    assert keys.security is KEYS
    document = await service(security=KEYS).call("GET", "/openapi.json")
    assert document["security"] == [{"apiKey": []}, {"bearer": []}]
    assert access_of(settings(project), MemoryStore()).security is None
    plain = await service().call("GET", "/openapi.json")
    assert "security" not in plain
    assert "securitySchemes" not in plain["components"]


@pytest.mark.parametrize(("said", "warns"), [({}, False), (True, False), (False, True)])
def test_studios_users_are_not_let_in_and_who_asks_for_it_is_told(
    project: Path, caplog: pytest.LogCaptureFixture, said: Any, warns: bool
) -> None:
    auth = {"disable_studio_auth": said} if isinstance(said, bool) else {}
    access_of(settings(says(project, **auth)), MemoryStore())
    assert ("disable_studio_auth is false" in caplog.text) == warns


@pytest.mark.parametrize(
    ("auth", "why"), [({"cahce": {}}, "auth.cahce"), ({"path": "./no.py:auth"}, "no file")]
)
def test_baton_dev_says_what_is_wrong_before_it_starts(
    project: Path, auth: dict[str, Any], why: str
) -> None:
    (project / "g.py").write_text("def g():\n    return None\n")
    asked = {"config": str(says(project) / "langgraph.json")}
    assert check.handler(asked, None) == {"graphs": ["g"]}
    says(project, **auth)
    assert why in check.handler(asked, None)["problem"]
