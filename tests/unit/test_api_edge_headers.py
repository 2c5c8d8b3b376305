"""What every answer carries: an id, a time, one shape of errors; and what browsers may do."""

import logging
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.api.access.identify import ByKey
from functions.api.request.cors import EXPOSED
from graph.adapters.memory import MemoryStore
from graph.errors import BadProject, Unavailable
from graph.runtime.keys import Keyring
from tests.fixtures.around import fails
from tests.fixtures.service import Service, service

PAGE = "https://chat.example.com"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-api-key,authorization",
}


@pytest.fixture
def api() -> Service:
    return service(max_body=1000)


REQUESTS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/ok", {}, 200),
    ("GET", "/no/such", {}, 404),
    ("GET", "/threads", {}, 405),
    ("PUT", "/ok", {}, 405),
    ("POST", "/threads", {"content": b"{", "headers": {"content-type": "application/json"}}, 422),
    ("POST", "/threads", {"json": {"metadata": "x" * 2000}}, 413),
    ("POST", "/threads", {"json": {"metadata": []}}, 422),
]


@pytest.mark.parametrize(("method", "path", "options", "status"), REQUESTS)
async def test_every_answer_has_an_id_a_time_and_one_shape(
    api: Service, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = await api.http.request(method, path, **options)
    assert answer.status_code == status
    assert UUID(answer.headers["x-request-id"])
    assert answer.headers["server-timing"].startswith("app;dur=")
    assert "db;dur=" in answer.headers["server-timing"]
    if status >= 400:
        assert list(answer.json()) == ["detail"]
        assert isinstance(answer.json()["detail"], str)


async def test_an_unexpected_failure_tells_its_id_and_nothing_else(
    api: Service, caplog: pytest.LogCaptureFixture
) -> None:
    fails(api.rt.store.search_threads, RuntimeError("password=hunter2"))
    with caplog.at_level(logging.WARNING):
        answer = await api.http.post("/threads/search", json={}, headers={"X-Request-ID": "r-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "r-1")
    assert answer.json() == {"detail": "internal error: the log says more"}
    assert "r-1" in {getattr(record, "request_id", None) for record in caplog.records}


@pytest.mark.parametrize(("error", "status"), [(Unavailable, 503), (BadProject, 500)])
async def test_a_failure_of_ours_is_told_without_names_and_addresses(
    api: Service, caplog: pytest.LogCaptureFixture, error: type[Exception], status: int
) -> None:
    fails(api.rt.store.search_threads, error("postgres://10.1.2.3 is gone"))
    answer = await api.http.post("/threads/search", json={})
    assert answer.status_code == status
    assert "10.1.2.3" not in answer.text
    assert "10.1.2.3" in caplog.text


@pytest.mark.parametrize("sent", ["abc-123", "Root=1-67891233-abcdef012345678912345678", "a:b/c.d"])
async def test_a_clients_own_id_is_kept(api: Service, sent: str) -> None:
    answer = await api.http.get("/ok", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>", 'a"b'])
async def test_one_that_would_spoil_a_log_is_replaced(api: Service, sent: str) -> None:
    answer = await api.http.get("/ok", headers={"X-Request-ID": sent})
    assert UUID(answer.headers["x-request-id"])


async def test_a_stream_is_marked_too_and_not_held_back(api: Service) -> None:
    asked = {"assistant_id": "steps", "input": {"log": []}, "stream_mode": "values"}
    made = await api.call("POST", f"/threads/{await api.thread()}/runs", asked)
    await api.work()
    at = f"/threads/{made['thread_id']}/runs/{made['run_id']}/stream"
    async with api.http.stream("GET", at) as answer:
        assert UUID(answer.headers["x-request-id"])
        assert "event: end" in (await answer.aread()).decode()


async def test_pages_may_not_call_unless_they_are_named(api: Service) -> None:
    answer = await api.http.get("/ok", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers
    preflight = await api.http.options("/threads", headers=PREFLIGHT)
    assert "access-control-allow-origin" not in preflight.headers
    assert preflight.status_code == 405


def closed(origins: tuple[str, ...]) -> Service:
    """An API that wants keys, for pages from these origins."""
    store = MemoryStore()
    return service(store, identify=ByKey(Keyring(store)), origins=origins)


@pytest.mark.parametrize("origins", [(PAGE,), ("*",)])
async def test_a_preflight_needs_no_key_and_the_request_does(origins: tuple[str, ...]) -> None:
    api = closed(origins)
    preflight = await api.http.options("/threads", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] in (PAGE, "*")
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("content-type", "x-api-key", "authorization"))
    assert "PATCH" in preflight.headers["access-control-allow-methods"]

    refused = await api.http.post("/threads", json={}, headers={"Origin": PAGE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] in (PAGE, "*")
    exposed = refused.headers["access-control-expose-headers"]
    assert {name.strip() for name in exposed.split(",")} == set(EXPOSED)


async def test_a_page_from_elsewhere_is_not_let_in() -> None:
    api = closed((PAGE,))
    headers = {**PREFLIGHT, "Origin": "https://evil.example.com"}
    preflight: httpx.Response = await api.http.options("/threads", headers=headers)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
