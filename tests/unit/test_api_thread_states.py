"""Threads made with a state, copied, pruned, searched by what they hold, over the memory double."""

from typing import Any
from uuid import uuid4

import pytest

from graph.runtime import thread_search
from tests.fixtures.service import Service, service


@pytest.fixture
def api() -> Service:
    return service()


def superstep(*writes: tuple[str, list[str]]) -> dict[str, Any]:
    return {"updates": [{"values": {"log": log}, "as_node": node} for node, log in writes]}


def log(thread: dict[str, Any]) -> str:
    return "".join(thread["values"]["log"])


async def test_supersteps_are_taken_in_order_and_the_graph_goes_on_from_there(
    api: Service,
) -> None:
    nodes = (("__input__", ["x"]), ("__start__", ["x"]), ("a", ["1"]), ("b", ["2"]))
    steps = [superstep(node) for node in nodes]

    made = await api.call("POST", "/threads", {"graph_id": "steps", "supersteps": steps})
    at = f"/threads/{made['thread_id']}"
    states = await api.call("POST", f"{at}/history", {})
    await api.ran("steps", made["thread_id"])

    assert (log(made), made["status"]) == ("x12", "interrupted")
    assert [log(state) for state in states] == ["x12", "x1", "x", ""]
    assert states[0]["next"] == ["c"]
    assert log(await api.call("GET", at)) == "x12c"


async def test_a_state_at_the_end_leaves_nothing_to_do(api: Service) -> None:
    steps = [superstep(("__start__", ["x"])), superstep(("c", ["3"]))]

    made = await api.call("POST", "/threads", {"graph_id": "steps", "supersteps": steps})

    assert (log(made), made["status"], made["interrupts"]) == ("x3", "idle", {})


async def test_a_superstep_may_be_a_command(api: Service) -> None:
    jump = {"updates": [{"command": {"update": {"log": ["j"]}, "goto": "c"}, "as_node": "a"}]}
    body = {"graph_id": "steps", "supersteps": [superstep(("__start__", ["x"])), jump]}

    made = await api.call("POST", "/threads", body)
    state = await api.call("GET", f"/threads/{made['thread_id']}/state")

    assert log(made) == "xj"
    assert "c" in state["next"]


REFUSED: list[tuple[Any, int]] = [
    ([superstep(("a", ["1"])), superstep(("nobody", ["2"]))], 422),
    ([superstep(("a", ["1"])), {"updates": [{"values": {"log": 5}, "as_node": "b"}]}], 422),
    ([superstep()], 422),
]


@pytest.mark.parametrize(("steps", "status"), REFUSED)
async def test_a_refused_superstep_makes_no_thread(api: Service, steps: Any, status: int) -> None:
    body = {"thread_id": str(uuid4()), "graph_id": "steps", "supersteps": steps}

    refusal = await api.call("POST", "/threads", body, status=status)

    assert refusal["detail"]
    await api.call("GET", f"/threads/{body['thread_id']}", status=404)


async def test_supersteps_are_of_a_graph_that_there_is(api: Service) -> None:
    body = {"graph_id": "none", "supersteps": [superstep(("a", ["1"]))]}

    refusal = await api.call("POST", "/threads", body, status=409)

    assert "is of graph 'none', which the project has not" in refusal["detail"]
    assert await api.call("POST", "/threads/count", {}) == 0


async def test_a_thread_that_exists_takes_no_supersteps(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    before = await api.seen(thread_id)
    body = {"thread_id": thread_id, "graph_id": "steps", "supersteps": [superstep(("a", ["1"]))]}

    await api.call("POST", "/threads", body, status=409)
    again = await api.call("POST", "/threads", {**body, "if_exists": "do_nothing"})

    assert log(again) == "xabc"
    assert await api.seen(thread_id) == before


async def test_a_copy_goes_on_by_itself(api: Service) -> None:
    source = await api.ran("asks", input={"log": ["x"]})
    await api.call("PATCH", f"/threads/{source}", {"metadata": {"user": "ann"}})
    before = await api.seen(source)

    copy = await api.call("POST", f"/threads/{source}/copy")
    at = f"/threads/{copy['thread_id']}"
    states = await api.call("POST", f"{at}/history", {})
    await api.ran("asks", copy["thread_id"], command={"resume": "yes"})

    assert copy["thread_id"] != source
    assert copy["metadata"]["user"] == "ann"
    assert (copy["values"], copy["status"]) == (before[0]["values"], "interrupted")
    assert [s["checkpoint_id"] for s in states] == [s["checkpoint_id"] for s in before[2]]
    assert {s["checkpoint"]["thread_id"] for s in states} == {copy["thread_id"]}
    assert log(await api.call("GET", at)) == "xaanswered yesc"
    assert await api.seen(source) == before


async def test_there_is_no_copy_of_an_unknown_thread(api: Service) -> None:
    await api.call("POST", f"/threads/{uuid4()}/copy", status=404)
    await api.call("POST", "/threads/mine/copy", status=422)
    assert await api.call("POST", "/threads/count", {}) == 0


async def test_pruning_deletes_or_shortens(api: Service) -> None:
    one, two = [await api.ran("steps", input={"log": ["x"]}) for _ in range(2)]
    busy = await api.ran("steps", input={"log": ["x"]})
    await api.run(busy, "steps", input={"log": ["y"]})
    named = [one, busy, str(uuid4())]

    shortened = await api.call(
        "POST", "/threads/prune", {"thread_ids": named, "strategy": "keep_latest"}
    )
    lengths = [len(await api.call("GET", f"/threads/{t}/history")) for t in (one, two, busy)]
    kept = await api.call("GET", f"/threads/{one}")
    deleted = await api.call("POST", "/threads/prune", {"thread_ids": named})

    assert shortened == {"pruned_count": 1}
    assert (lengths, log(kept)) == ([1, 5, 5], "xabc")
    assert deleted == {"pruned_count": 2}
    assert await api.call("POST", "/threads/prune", {"thread_ids": named}) == {"pruned_count": 0}
    assert await api.call("POST", "/threads/prune", {"thread_ids": []}) == {"pruned_count": 0}
    assert await api.call("POST", "/threads/count", {}) == 1


async def test_a_search_by_values_looks_into_the_newest_states(api: Service) -> None:
    ann = await api.ran("steps", input={"log": ["ann"]})
    bob = await api.ran("asks", input={"log": ["bob"]})
    chat = await api.ran("chat", input={"messages": [{"role": "user", "content": "hi"}]})
    await api.thread()

    async def found(**query: Any) -> list[str]:
        page = await api.call("POST", "/threads/search", query)
        assert await api.call("POST", "/threads/count", query) == len(page)
        return [thread["thread_id"] for thread in page]

    assert await found(values={"log": ["ann"]}) == [ann]
    assert await found(values={"log": ["a"]}) == [bob, ann]
    assert await found(values={"log": ["a"]}, status="idle") == [ann]
    assert await found(values={"log": ["b", "ann"]}) == [ann]
    assert await found(values={"log": ["nobody"]}) == []
    assert await found(values={"messages": [{"content": "hi", "type": "human"}]}) == [chat]
    assert len(await found(values={})) == 4


async def test_a_search_by_values_is_paged_like_any_other(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_search, "AT_ONCE", 2)
    made = [await api.ran("steps", input={"log": [str(n)]}) for n in range(5)]
    await api.ran("asks", input={"log": []})
    body = {"values": {"log": ["b"]}, "limit": 2, "sort_order": "asc"}

    pages = [await api.http.post("/threads/search", json={**body, "offset": o}) for o in (0, 2, 4)]

    assert [t["thread_id"] for page in pages for t in page.json()] == made
    assert [page.headers["x-pagination-total"] for page in pages] == ["5", "5", "5"]
    assert [page.headers.get("x-pagination-next") for page in pages] == ["2", "4", None]


async def test_a_search_by_values_that_would_read_too_much_is_refused(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_search, "SCANNED", 2)
    made = [await api.thread(metadata={"n": n}) for n in range(3)]

    for path in ("search", "count"):
        refusal = await api.call("POST", f"/threads/{path}", {"values": {"log": []}}, status=422)
        assert "3 threads would have to be read" in refusal["detail"]
        assert "narrow the search by metadata, status or ids" in refusal["detail"]
    narrow = {"values": {"log": []}, "ids": made[:2]}
    assert await api.call("POST", "/threads/search", narrow) == []


def counted(call: Any, calls: list[str]) -> Any:
    async def counting(*args: Any, **options: Any) -> Any:
        calls.append(call.__name__)
        return await call(*args, **options)

    return counting


async def test_a_page_of_threads_reads_its_states_at_once(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await api.ran("steps", input={"log": [str(n)]}) for n in range(5)]
    reads: list[str] = []
    for name in ("heads", "load", "history"):
        monkeypatch.setattr(api.rt.store, name, counted(getattr(api.rt.store, name), reads))
    page = await api.call("POST", "/threads/search", {"sort_order": "asc"})
    await api.call("POST", "/threads/search", {"select": ["thread_id", "status"]})

    assert [t["thread_id"] for t in page] == made
    assert [log(t) for t in page] == [f"{n}abc" for n in range(5)]
    assert reads == ["heads"]


async def test_parts_of_threads_are_extracted(api: Service) -> None:
    messages = [{"role": "user", "content": "hi"}]
    thread_id = await api.ran("chat", input={"messages": messages})
    paths = {
        "last": "values.messages[-1].content",
        "first": "values.messages[0].type",
        "graph": "metadata.graph_id",
        "none": "values.messages[9].content",
        "odd": "values.messages.content",
        "whole": "metadata",
    }

    (found,) = await api.call("POST", "/threads/search", {"extract": paths})
    body = {"extract": {"last": paths["last"]}, "select": ["thread_id"]}
    (part,) = await api.call("POST", "/threads/search", body)

    assert found["extracted"] == {
        "last": "you said hi",
        "first": "human",
        "graph": "chat",
        "none": None,
        "odd": None,
        "whole": found["metadata"],
    }
    assert part == {"thread_id": thread_id, "extracted": {"last": "you said hi"}}


async def test_what_may_be_included(api: Service) -> None:
    thread_id = await api.thread(ttl=5)

    with_ttl = await api.call("GET", f"/threads/{thread_id}?include=ttl")
    refusal = await api.call("GET", f"/threads/{thread_id}?include=colour", status=422)

    assert with_ttl["ttl"]["ttl_minutes"] == 5
    assert "query.include" in refusal["detail"]


async def test_a_thread_of_a_graph_that_is_gone_says_so(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": []})
    del api.loaded.graphs["steps"]
    at = f"/threads/{thread_id}"

    for method, path, body in (
        ("GET", "/state", None),
        ("POST", "/state", {"values": {"log": ["x"]}}),
        ("POST", "/history", {}),
    ):
        refusal = await api.call(method, at + path, body, status=409)
        assert "is of graph 'steps', which the project has not" in refusal["detail"]
    assert (await api.call("GET", at))["values"] == {"log": ["a", "b", "c"]}
