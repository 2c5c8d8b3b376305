"""The long-term store through the unmodified SDK and from graphs, on Postgres behind pgbouncer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.requests import HTTPConnection
from langgraph_sdk import get_client

from functions.api.access.callers import Caller
from graph.adapters.long_term import LongTermStore
from graph.adapters.migrations import migrate
from graph.adapters.postgres import Database, PostgresStore
from graph.adapters.sealing import NO_KEYS, Keys, Seals
from graph.adapters.store_config import store_config
from graph.errors import BadProject, Unavailable
from tests.fixtures.keys import a_ring
from tests.fixtures.remembering import embed, remembering
from tests.fixtures.service import Service, service, worker
from tests.integration.test_sdk import served

BY_MEANING = {"index": {"embed": "./embeddings.py:embed", "dims": 3, "fields": ["text"]}}


def long_term(url: str, said: Any = None, *, keys: Keys = NO_KEYS) -> LongTermStore:
    """A store of its own over a database, as langgraph.json says it."""
    return LongTermStore(Database(url, seals=Seals(keys)), store_config(said, lambda target: embed))


@dataclass
class Shelf:
    """A client's store, and what is behind it."""

    sdk: Any
    service: Service
    url: str
    long_term: LongTermStore

    @property
    def store(self) -> Any:
        return self.sdk.store

    async def keys(self, *prefix: str, **asked: Any) -> list[str]:
        found = await self.store.search_items(prefix, **asked)
        return [item["key"] for item in found["items"]]


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    store, kept = PostgresStore(database_url), long_term(database_url)
    behind = service(store, more_graphs=remembering(), long_term=kept)
    async with served(behind.app) as url, worker(behind), get_client(url=url) as sdk:
        yield Shelf(sdk, behind, url, kept)
    await kept.close()
    await store.close()


async def test_an_item_from_put_to_deletion(shelf: Shelf) -> None:
    store = shelf.store
    assert (
        await store.put_item(["docs", "ann ☀"], "one", {"n": 1, "deep": {"a": [1, None]}}) is None
    )
    found = await store.get_item(["docs", "ann ☀"], "one")

    assert found["value"] == {"n": 1, "deep": {"a": [1, None]}}
    assert (found["namespace"], found["key"]) == (["docs", "ann ☀"], "one")
    assert datetime.fromisoformat(found["created_at"]) <= datetime.fromisoformat(
        found["updated_at"]
    )
    await store.put_item(["docs", "ann ☀"], "one", {"n": 2})
    assert (await store.get_item(["docs", "ann ☀"], "one"))["value"] == {"n": 2}

    await store.delete_item(["docs", "ann ☀"], "one")
    assert await store.get_item(["docs", "ann ☀"], "one") is None
    await store.delete_item(["docs", "ann ☀"], "one")


async def test_items_are_searched_by_namespace_and_filter(shelf: Shelf) -> None:
    for n, place in enumerate((["a"], ["a", "b"], ["a_"], ["b", "a"], ["ab"])):
        await shelf.store.put_item(place, f"k{n}", {"n": n, "even": n % 2 == 0})

    assert await shelf.keys("a") == ["k1", "k0"]
    assert await shelf.keys("a_") == ["k2"]
    assert await shelf.keys() == ["k4", "k3", "k2", "k1", "k0"]
    assert await shelf.keys(limit=2, offset=1) == ["k3", "k2"]
    assert await shelf.keys(filter={"even": True}) == ["k4", "k2", "k0"]
    assert await shelf.keys(filter={"n": {"$gte": 3}}) == ["k4", "k3"]
    assert await shelf.keys(filter={"n": {"$ne": 3}, "even": False}) == ["k1"]
    assert await shelf.keys("b", query="no index, no difference") == ["k3"]
    (item,) = (await shelf.store.search_items(["b"]))["items"]
    assert (item["namespace"], item["score"]) == (["b", "a"], None)


async def test_namespaces_are_listed(shelf: Shelf) -> None:
    for place in (["a", "x"], ["a", "y", "z"], ["b", "x"], ["x"]):
        await shelf.store.put_item(place, "k", {})

    async def listed(**asked: Any) -> list[str]:
        found = await shelf.store.list_namespaces(**asked)
        return [".".join(namespace) for namespace in found["namespaces"]]

    assert await listed() == ["a.x", "a.y.z", "b.x", "x"]
    assert await listed(prefix=["a"]) == ["a.x", "a.y.z"]
    assert await listed(suffix=["x"]) == ["a.x", "b.x", "x"]
    assert await listed(suffix=["*", "x"]) == ["a.x", "b.x"]
    assert await listed(prefix=["*", "x"]) == ["a.x", "b.x"]
    assert await listed(max_depth=1) == ["a", "b", "x"]
    assert await listed(limit=2, offset=1) == ["a.y.z", "b.x"]


async def test_items_are_gone_after_their_time_and_swept_in_bounds(shelf: Shelf) -> None:
    for n in range(3):
        await shelf.store.put_item(["brief"], f"k{n}", {}, ttl=1)
    await shelf.store.put_item(["brief"], "kept", {})
    soon = datetime.now(UTC) + timedelta(minutes=2)

    assert await shelf.long_term.expire(limit=2) == 0
    assert await shelf.long_term.expire(limit=2, now=soon) == 2
    assert await shelf.long_term.expire(limit=2, now=soon) == 1
    assert await shelf.keys("brief") == ["kept"]


async def test_what_is_past_its_time_is_not_found_and_reading_prolongs_it(
    shelf: Shelf, direct_url: str
) -> None:
    for key in ("read", "looked at", "left"):
        await shelf.store.put_item(["brief"], key, {}, ttl=60)
    with psycopg.connect(direct_url, autocommit=True) as connection:
        connection.execute("UPDATE store SET expires_at = now() + interval '1 second'")
        await shelf.store.get_item(["brief"], "read")
        await shelf.store.get_item(["brief"], "looked at", refresh_ttl=False)
        connection.execute("UPDATE store SET expires_at = expires_at - interval '1 minute'")

    assert await shelf.keys("brief", refresh_ttl=False) == ["read"]
    assert await shelf.store.get_item(["brief"], "left") is None
    assert (await shelf.store.list_namespaces())["namespaces"] == [["brief"]]


async def test_a_projects_ttl_holds_for_all_items(database_url: str) -> None:
    kept = long_term(database_url, {"ttl": {"default_ttl": 1, "refresh_on_read": False}})
    await kept.of("ann").aput(("a",), "k", {})
    assert await kept.expire(limit=9, now=datetime.now(UTC) + timedelta(minutes=2)) == 1
    await kept.close()


@pytest.mark.parametrize(
    ("namespace", "key", "more", "named"),
    [
        ([], "k", {}, "namespace"),
        (["a.b"], "k", {}, "namespace"),
        (["a", ""], "k", {}, "namespace"),
        (["langgraph"], "k", {}, "namespace"),
        (["a"] * 600, "k", {}, "namespace"),
        (["a"], "", {}, "key"),
        (["a"], "☀" * 400, {}, "key"),
        (["a"], "k", {"ttl": 0}, "ttl"),
        (["a"], "k", {"ttl": 10**12}, "ttl"),
        (["a"], "k", {"index": True}, "index"),
    ],
)
async def test_a_wrong_item_is_refused_by_name(
    shelf: Shelf, namespace: list[str], key: str, more: dict[str, Any], named: str
) -> None:
    async with httpx.AsyncClient(base_url=shelf.url) as http:  # the SDK refuses some of it itself
        body = {"namespace": namespace, "key": key, "value": {}, **more}
        answer = await http.put("/store/items", json=body)
    assert (answer.status_code, f"body.{named}" in answer.json()["detail"]) == (422, True)
    assert await shelf.keys() == []


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/store/items/search", {"limit": 0}, "limit"),
        ("/store/items/search", {"limit": 1001}, "limit"),
        ("/store/items/search", {"offset": -1}, "offset"),
        ("/store/items/search", {"namespace_prefix": ["a."]}, "namespace_prefix"),
        ("/store/items/search", {"filter": {"a": {"$in": [1]}}}, "in"),
        ("/store/namespaces", {"max_depth": 0}, "max_depth"),
        ("/store/namespaces", {"prefix": [""]}, "prefix"),
        ("/store/namespaces", {"suffix": ["a\0"]}, "NUL"),
    ],
)
async def test_a_wrong_search_is_refused_by_name(
    shelf: Shelf, path: str, body: dict[str, Any], named: str
) -> None:
    async with httpx.AsyncClient(base_url=shelf.url) as http:
        answer = await http.post(path, json=body)
        dotted = await http.get("/store/items", params={"namespace": "a..b", "key": "k"})
        nul = await http.get("/store/items", params={"namespace": "a", "key": "\0"})
    assert (answer.status_code, named in answer.json()["detail"]) == (422, True)
    assert (dotted.status_code, "query.namespace" in dotted.json()["detail"]) == (422, True)
    assert (nul.status_code, "query.key" in nul.json()["detail"]) == (422, True)


@pytest.mark.parametrize("graph", ["remembers", "nests_store"])
async def test_a_graph_is_given_the_store(shelf: Shelf, graph: str) -> None:
    thread_id = (await shelf.sdk.threads.create())["thread_id"]
    await shelf.store.put_item(["notes", "before"], "zero", {"text": "there"})

    values = await shelf.sdk.runs.wait(thread_id, graph, input={"text": "hi"})

    assert values["found"] == [
        ["notes", "async", "one", "hi"],
        ["notes", "before", "zero", "there"],
        ["notes", "sync", "two", "hi"],
        [["notes", "async"], ["notes", "before"], ["notes", "sync"]],
    ]
    assert (await shelf.store.get_item(["notes", "sync"], "two"))["value"] == {"text": "hi"}


async def test_a_graph_that_has_a_store_keeps_it(shelf: Shelf) -> None:
    thread_id = (await shelf.sdk.threads.create())["thread_id"]
    values = await shelf.sdk.runs.wait(thread_id, "keeps", input={"text": "hi"})
    assert values["found"][-1] == [["notes", "async"], ["notes", "sync"]]
    assert await shelf.keys() == []


async def test_an_async_node_that_would_wait_for_itself_is_told(shelf: Shelf) -> None:
    thread_id = (await shelf.sdk.threads.create())["thread_id"]
    run = await shelf.sdk.runs.create(thread_id, "misuses", input={"text": "hi"})
    await shelf.sdk.runs.join(thread_id, run["run_id"])
    error = (await shelf.sdk.runs.get(thread_id, run["run_id"]))["error"]
    assert "must await the store" in error["message"]


@pytest.mark.parametrize("stranger", ["mallory", "", "ann.secret", "*", "an_", "%", "ann\\"])
async def test_a_stranger_reaches_nothing(database_url: str, stranger: str) -> None:
    kept = long_term(database_url)
    ann, other = kept.of("ann"), kept.of(stranger)
    await ann.aput(("secret", "a"), "k", {"n": 1})
    await other.aput(("own",), "k", {"n": 2})

    for place in (("secret", "a"), ("@ann", "secret", "a"), ("*",)):
        assert await other.aget(place, "k") is None
        assert await other.asearch(place) == []
        assert await other.alist_namespaces(prefix=place) in ([], [("own",)])
        await other.adelete(place, "k")
    assert [item.namespace for item in await other.asearch(())] == [("own",)]
    for suffix in (("a",), ("*", "*", "a"), ("secret", "a"), ("*", "secret", "a")):
        assert await other.alist_namespaces(suffix=suffix) == []
    await other.aput(("secret", "a"), "k", {"n": 3})
    found = await ann.aget(("secret", "a"), "k")
    assert found is not None
    assert found.value == {"n": 1}
    assert await ann.alist_namespaces() == [("secret", "a")]
    await kept.close()


async def by_header(request: HTTPConnection) -> Caller:
    return Caller(request.headers["x-owner"])


async def test_owners_share_nothing_over_http_or_through_a_graph(database_url: str) -> None:
    store, kept = PostgresStore(database_url), long_term(database_url)
    behind = service(store, more_graphs=remembering(), long_term=kept, identify=by_header)
    async with (
        served(behind.app) as url,
        worker(behind),
        get_client(url=url, headers={"x-owner": "ann"}) as ann,
        get_client(url=url, headers={"x-owner": "mallory"}) as mallory,
    ):
        clients: list[tuple[Any, str]] = [(ann, "hers"), (mallory, "his")]
        for client, text in clients:
            thread_id = (await client.threads.create())["thread_id"]
            values = await client.runs.wait(thread_id, "remembers", input={"text": text})
            assert [found[-1] for found in values["found"][:-1]] == [text, text]
        await mallory.store.delete_item(["notes", "sync"], "two")

        item: Any = await ann.store.get_item(["notes", "sync"], "two")
        assert item["value"] == {"text": "hers"}
        assert await mallory.store.get_item(["notes", "sync"], "two") is None
        own: Any = await mallory.store.search_items([])
        assert [item["value"] for item in own["items"]] == [{"text": "his"}]
        assert await mallory.store.list_namespaces() == {"namespaces": [["notes", "async"]]}
    await kept.close()
    await store.close()


@pytest.mark.parametrize("keys", [NO_KEYS, a_ring("k1")], ids=["clear", "sealed"])
async def test_items_are_found_by_meaning_where_the_project_configures_it(
    database_url: str, direct_url: str, keys: Keys
) -> None:
    assert await migrate(direct_url, dims=3) == ["store_vectors(3)"]
    assert await migrate(direct_url, dims=3) == []
    kept = long_term(database_url, BY_MEANING, keys=keys)
    ann = kept.of("ann")
    for key, text in (("a", "a cake"), ("b", "a boat"), ("c", "bread")):
        await ann.aput(("docs",), key, {"text": text})
    await ann.aput(("docs",), "d", {"text": "a hidden ship"}, index=False)
    await kept.of("mallory").aput(("docs",), "e", {"text": "another ship"})

    found = await ann.asearch(("docs",), query="ship", limit=2)
    assert (found[0].key, found[0].namespace) == ("b", ("docs",))
    assert found[0].score is not None
    assert found[0].score > (found[1].score or 0)
    filtered = await ann.asearch((), query="ship", filter={"text": "bread"})
    assert [item.key for item in filtered] == ["c"]
    await ann.aput(("docs",), "b", {"text": "bread again"})
    assert (await ann.asearch(("docs",), query="ship"))[0].key != "b"
    await kept.close()

    with pytest.raises(BadProject, match="store_vectors was made for 3"):
        await migrate(direct_url, dims=4)
    wrong = long_term(database_url, {"index": {**BY_MEANING["index"], "dims": 4}})
    with pytest.raises(BadProject, match="the database's vectors have 3"):
        await wrong.of("ann").aput(("docs",), "x", {"text": "a boat"})
    await wrong.close()


async def test_without_vectors_the_store_works_all_the_same(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = long_term(database_url, BY_MEANING)
    await kept.of("ann").aput(("docs",), "a", {"text": "a boat"})
    assert [item.key for item in await kept.of("ann").asearch((), query="ship")] == ["a"]
    assert "there are no vectors" in caplog.text
    await kept.close()


async def test_an_item_and_its_vectors_are_kept_together_or_not_at_all(
    database_url: str, direct_url: str
) -> None:
    await migrate(direct_url, dims=3)
    kept = long_term(database_url, BY_MEANING)
    with psycopg.connect(direct_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE store_vectors ADD CHECK (key <> 'bad')")
    with pytest.raises(psycopg.errors.CheckViolation):
        await kept.of("ann").aput(("docs",), "bad", {"text": "a boat"})
    assert await kept.of("ann").asearch(()) == []
    await kept.close()


async def test_a_connection_that_died_is_replaced(database_url: str, direct_url: str) -> None:
    kept = long_term(database_url)
    await kept.of("ann").aput(("a",), "k", {"n": 1})
    connection = await kept.db.connection()
    await connection.close()
    found = await kept.of("ann").aget(("a",), "k")
    assert found is not None
    await kept.close()


async def test_a_database_that_is_away_is_said_so() -> None:
    kept = long_term("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await kept.of("ann").aget(("a",), "k")


async def test_callers_at_once_do_not_get_in_each_others_way(shelf: Shelf) -> None:
    await asyncio.gather(*(shelf.store.put_item(["n"], f"{n}", {"n": n}) for n in range(20)))
    found = await asyncio.gather(*(shelf.store.get_item(["n"], f"{n}") for n in range(20)))
    assert [item["value"]["n"] for item in found] == list(range(20))


async def test_many_clients_share_the_proxys_few_connections(
    database_url: str, direct_url: str
) -> None:
    """More stores than server connections: none is held between statements."""
    stores = [long_term(database_url) for _ in range(8)]
    for n, kept in enumerate(stores):
        await kept.of("ann").aput(("n",), f"{n}", {"n": n})
    found = await asyncio.gather(*(kept.of("ann").asearch(("n",)) for kept in stores))
    assert [len(items) for items in found] == [8] * 8
    with psycopg.connect(direct_url) as connection:
        held = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert held == (0,)
    for kept in stores:
        await kept.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "store must be an object"),
        ({"index": "x"}, "store.index must be an object"),
        ({"index": {"embed": "fn", "dims": 3}}, "store.index.embed"),
        ({"index": {"embed": "a:b", "dims": "3"}}, "store.index.dims"),
        ({"index": {"embed": "a:b", "dims": 3, "fields": "text"}}, "store.index.fields"),
        ({"ttl": {"default_ttl": -1}}, "store.ttl.default_ttl"),
    ],
)
def test_a_wrong_configuration_is_said_so(said: Any, reason: str) -> None:
    with pytest.raises(BadProject, match=reason):
        store_config(said, str)
