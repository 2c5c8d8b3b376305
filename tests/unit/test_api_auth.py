"""The `auth` of a project: who gets in, and what each finds."""

from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph

from functions.api.access.project_auth import ProjectAuth
from tests.fixtures.auth import as_user, documented, guarded, thread_of
from tests.fixtures.graphs import Log
from tests.fixtures.service import Service, service

INPUT: dict[str, Any] = {"log": []}


@pytest.fixture
def api() -> Service:
    return guarded(documented())


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
