"""Threads through the API, over the memory double."""

from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.service import Service, service


@pytest.fixture
def api() -> Service:
    return service()


async def test_a_new_thread_is_idle_and_empty(api: Service) -> None:
    thread_id = str(uuid4())

    made = await api.call("POST", "/threads", {"thread_id": thread_id, "metadata": {"a": 1}})

    assert made["thread_id"] == thread_id
    assert (made["status"], made["values"], made["interrupts"]) == ("idle", {}, {})
    assert made["metadata"] == {"a": 1}
    assert made == await api.call("GET", f"/threads/{thread_id}")


async def test_a_thread_is_made_once(api: Service) -> None:
    body = {"thread_id": await api.thread(metadata={"first": True})}

    await api.call("POST", "/threads", body, status=409)
    again = await api.call("POST", "/threads", {**body, "if_exists": "do_nothing"})

    assert again["metadata"] == {"first": True}


async def test_a_thread_may_say_which_graph_it_is_of(api: Service) -> None:
    thread_id = await api.thread(graph_id="steps")

    thread = await api.call("GET", f"/threads/{thread_id}")

    assert thread["metadata"] == {"graph_id": "steps"}


@pytest.mark.parametrize(
    ("ttl", "kept"),
    [
        (30, {"ttl_minutes": 30.0, "strategy": "delete"}),
        ({"ttl": 1.5, "strategy": "keep_latest"}, {"ttl_minutes": 1.5, "strategy": "keep_latest"}),
    ],
)
async def test_a_ttl_is_minutes_and_perhaps_a_strategy(api: Service, ttl: Any, kept: Any) -> None:
    thread_id = await api.thread(ttl=ttl)
    later = await api.thread()

    updated = await api.call("PATCH", f"/threads/{later}", {"ttl": ttl})

    assert (await api.call("GET", f"/threads/{thread_id}"))["ttl"] == kept
    assert updated["ttl"] == kept


async def test_metadata_is_merged(api: Service) -> None:
    thread_id = await api.thread(metadata={"a": 1, "b": 1})

    updated = await api.call("PATCH", f"/threads/{thread_id}", {"metadata": {"b": 2, "c": 3}})

    assert updated["metadata"] == {"a": 1, "b": 2, "c": 3}


async def test_an_update_answers_nothing_to_whom_prefers_that(api: Service) -> None:
    thread_id = await api.thread()
    prefer = {"Prefer": "return=minimal"}

    nothing = await api.call(
        "PATCH", f"/threads/{thread_id}", {"metadata": {"a": 1}}, headers=prefer, status=204
    )

    assert nothing is None
    assert (await api.call("GET", f"/threads/{thread_id}"))["metadata"] == {"a": 1}


async def test_a_deleted_thread_is_gone(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": []})

    await api.call("DELETE", f"/threads/{thread_id}", status=204)

    for method, path in (("GET", ""), ("GET", "/state"), ("GET", "/runs"), ("DELETE", "")):
        gone = await api.call(method, f"/threads/{thread_id}{path}", status=404)
        assert gone == {"detail": f"thread {thread_id} does not exist"}


async def test_a_search_finds_by_metadata_status_and_id(api: Service) -> None:
    asked = await api.ran("asks", input={"log": []})
    await api.call("PATCH", f"/threads/{asked}", {"metadata": {"user": "ann"}})
    other = await api.thread(metadata={"user": "ann"})
    await api.thread(metadata={"user": "bob"})

    async def found(**query: Any) -> list[str]:
        page = await api.call("POST", "/threads/search", query)
        assert await api.call("POST", "/threads/count", query) == len(page)
        return [thread["thread_id"] for thread in page]

    assert await found(metadata={"user": "ann"}) == [other, asked]
    assert await found(metadata={"user": "ann"}, status="interrupted") == [asked]
    assert await found(ids=[other, str(uuid4())]) == [other]
    assert await found(metadata={"graph_id": "asks"}) == [asked]
    assert await found(status="error") == []


async def test_a_search_is_paged_and_says_where_it_goes_on(api: Service) -> None:
    made = [await api.thread() for _ in range(5)]
    body = {"limit": 2, "sort_by": "created_at", "sort_order": "asc"}

    pages = [await api.http.post("/threads/search", json={**body, "offset": o}) for o in (0, 2, 4)]

    assert [t["thread_id"] for page in pages for t in page.json()] == made
    assert [page.headers["x-pagination-total"] for page in pages] == ["5", "5", "5"]
    assert [page.headers.get("x-pagination-next") for page in pages] == ["2", "4", None]


async def test_a_search_reads_no_state_that_is_not_asked_for(api: Service) -> None:
    await api.ran("steps", input={"log": ["x"]})

    (whole,) = await api.call("POST", "/threads/search", {})
    (part,) = await api.call("POST", "/threads/search", {"select": ["thread_id", "status"]})

    assert whole["values"] == {"log": ["x", "a", "b", "c"]}
    assert part == {"thread_id": whole["thread_id"], "status": "idle"}


async def test_a_threads_values_are_those_of_its_newest_state(api: Service) -> None:
    thread_id = await api.ran("chat", input={"messages": [{"role": "user", "content": "hi"}]})

    thread = await api.call("GET", f"/threads/{thread_id}")

    assert [(m["type"], m["content"]) for m in thread["values"]["messages"]] == [
        ("human", "hi"),
        ("ai", "you said hi"),
    ]


async def test_a_thread_shows_what_it_asks(api: Service) -> None:
    thread_id = await api.ran("asks", input={"log": []})

    thread = await api.call("GET", f"/threads/{thread_id}")

    assert thread["status"] == "interrupted"
    ((asked,),) = thread["interrupts"].values()
    assert asked["value"] == {"ask": "go on?"}


async def test_a_thread_shows_what_went_wrong_and_keeps_its_last_good_state(api: Service) -> None:
    thread_id = await api.ran("fails", input={"log": []})

    thread = await api.call("GET", f"/threads/{thread_id}")

    assert thread["status"] == "error"
    assert thread["error"] == {"error": "ValueError", "message": "as told"}
    assert thread["values"] == {"log": ["a"]}
