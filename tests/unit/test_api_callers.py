"""Who asks, without a project's handlers: API keys and a gateway's authorizer; and quotas."""

import json
from datetime import timedelta
from typing import Any

import pytest
from mangum import Mangum

from functions import wiring
from functions.api.access.identify import ByClaims, ByKey
from functions.api.access.quotas import Quotas
from graph.adapters.memory import MemoryStore
from graph.errors import Unavailable
from graph.runtime.keys import Keyring, new_key
from tests.fixtures.around import fails
from tests.fixtures.events import Context, http_event, rest_event
from tests.fixtures.service import Service, service

ASKED = {"assistant_id": "steps", "input": {"log": []}}


async def keyed(*owners: str) -> tuple[Service, list[str]]:
    store = MemoryStore()
    texts = []
    for owner in owners:
        text, key = new_key(owner, lasts=timedelta(days=1))
        await store.add_key(key)
        texts.append(text)
    return service(store, identify=ByKey(Keyring(store))), texts


async def test_a_key_opens_its_owners_threads_only() -> None:
    api, (ann, bob) = await keyed("ann", "bob")

    made = await api.call("POST", "/threads", {}, headers={"x-api-key": ann})
    at = f"/threads/{made['thread_id']}"

    await api.call("GET", at, headers={"Authorization": f"Bearer {ann}"})
    await api.call(
        "GET", at, headers={"x-api-key": "a gateway's", "Authorization": f"bearer {ann}"}
    )
    await api.call("GET", at, headers={"x-api-key": bob}, status=404)
    run = await api.call("POST", f"{at}/runs", ASKED, headers={"x-api-key": ann})
    assert run["kwargs"]["config"]["configurable"]["langgraph_auth_user_id"] == "ann"


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": "baton_x"}, {"Authorization": "Basic x"}, {"x-owner": "ann"}]
)
async def test_without_a_good_key_nothing_is_done(headers: dict[str, str]) -> None:
    api, _ = await keyed("ann")
    answer = await api.http.post("/threads", json={}, headers=headers)
    assert answer.status_code == 401
    assert list(answer.json()) == ["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (await api.rt.store.search_threads("ann", _all()))[1] == 0


def _all() -> Any:
    from graph.runtime.models import ThreadQuery

    return ThreadQuery()


async def test_when_keys_cannot_be_looked_up_nobody_gets_in() -> None:
    api, (ann,) = await keyed("ann")
    fails(api.rt.store.use_key, Unavailable("postgres://secret is gone"))
    answer = await api.http.post("/threads", json={}, headers={"x-api-key": ann})
    assert answer.status_code == 503
    assert "secret" not in answer.text
    assert answer.headers["retry-after"] == "1"


REST = [
    ({"claims": {"sub": "ann", "org": "acme"}}, "ann"),
    ({"principalId": "ann", "org": "acme", "integrationLatency": 3}, "ann"),
]
HTTP = [
    ({"jwt": {"claims": {"sub": "ann", "org": "acme", "scope": "a b"}, "scopes": None}}, "ann"),
    ({"lambda": {"sub": "ann", "org": "acme"}}, "ann"),
]
CASES = [(rest_event, *case) for case in REST] + [(http_event, *case) for case in HTTP]


@pytest.mark.usefixtures("process_loop")
@pytest.mark.parametrize(("event", "authorizer", "owner"), CASES)
@pytest.mark.parametrize("claim", ["", "org"])
def test_the_gateways_claims_say_whose_rows_are_meant(
    event: Any, authorizer: Any, owner: str, claim: str
) -> None:
    api = service(identify=ByClaims(claim))
    adapter = Mangum(api.app, lifespan="off")
    asked = event("POST", "/threads", {})
    asked["requestContext"]["authorizer"] = authorizer

    answer = adapter(asked, Context())

    assert answer["statusCode"] == 200, answer
    thread_id = json.loads(answer["body"])["thread_id"]
    found = wiring.loop().run_until_complete(
        api.rt.store.get_thread(thread_id, "acme" if claim else owner)
    )
    assert found.thread_id == thread_id


@pytest.mark.usefixtures("process_loop")
@pytest.mark.parametrize("event", [rest_event, http_event])
def test_a_gateway_without_an_authorizer_lets_nobody_in(event: Any) -> None:
    adapter = Mangum(service(identify=ByClaims()).app, lifespan="off")
    forged = {"x-amzn-request-context": '{"authorizer": {"claims": {"sub": "ann"}}}'}
    answer = adapter(event("POST", "/threads", {}, headers=forged), Context())
    assert answer["statusCode"] == 401


async def test_claims_are_not_reachable_without_a_gateway() -> None:
    api = service(identify=ByClaims())
    headers = {"aws.event": "x", "authorization": "Bearer e30.e30.", "x-sub": "ann"}
    assert (await api.http.post("/threads", json={}, headers=headers)).status_code == 401


@pytest.mark.usefixtures("process_loop")
def test_a_missing_claim_is_no_way_to_somebody_elses_rows() -> None:
    adapter = Mangum(service(identify=ByClaims("org")).app, lifespan="off")
    asked = rest_event("POST", "/threads", {})
    asked["requestContext"]["authorizer"] = {"claims": {"sub": "ann"}}
    assert adapter(asked, Context())["statusCode"] == 403


async def test_above_the_rate_a_client_is_told_when_to_come_again() -> None:
    store = MemoryStore()
    api = service(store, quotas=Quotas(store, per_second=0.1, burst=2))
    answers = [await api.http.post("/threads/count", json={}) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "10"
    assert "0.1 requests a second" in answers[2].json()["detail"]
    assert (await api.http.get("/ok")).status_code == 200


async def test_without_a_rate_no_turn_is_asked_for() -> None:
    store = MemoryStore()
    api = service(store, quotas=Quotas(store))
    await api.call("POST", f"/threads/{await api.thread()}/runs", ASKED)
    assert store.tables.turns == {}


async def test_as_many_runs_as_an_owner_may_have_under_way() -> None:
    api = service(most_unfinished=2)
    thread_id = await api.thread()
    at = f"/threads/{thread_id}/runs"
    for _ in range(2):
        await api.call("POST", at, ASKED)

    refused = await api.http.post(at, json=ASKED)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "5"
    assert len(await api.call("GET", at)) == 2

    await api.work()
    await api.call("POST", at, ASKED)
