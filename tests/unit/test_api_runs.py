"""Runs through the API, over the memory double."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from functions.api.following import waiting
from graph.errors import Unavailable
from tests.fixtures.around import fails
from tests.fixtures.service import Service, service, worker


@pytest.fixture
def api() -> Service:
    return service()


async def values(api: Service, thread_id: str) -> Any:
    return (await api.call("GET", f"/threads/{thread_id}"))["values"]["log"]


async def status(api: Service, run: dict[str, Any]) -> str:
    at = f"/threads/{run['thread_id']}/runs/{run['run_id']}"
    found: str = (await api.call("GET", at))["status"]
    return found


async def test_a_run_is_accepted_and_rung_for(api: Service) -> None:
    thread_id = await api.thread()
    asked = {
        "assistant_id": "steps",
        "input": {"log": ["x"]},
        "metadata": {"by": "test"},
        "config": {"recursion_limit": 5, "configurable": {"model": "m"}},
        "context": {"k": 1},
        "stream_mode": ["values"],
        "durability": "sync",
        "on_disconnect": "continue",
    }

    answer = await api.http.post(f"/threads/{thread_id}/runs", json=asked)

    run = answer.json()
    assert answer.headers["content-location"] == f"/threads/{thread_id}/runs/{run['run_id']}"
    assert UUID(run["run_id"]).version == 7
    assert (run["thread_id"], run["status"]) == (thread_id, "pending")
    assert (run["multitask_strategy"], run["metadata"]) == ("enqueue", {"by": "test"})
    assert run["kwargs"]["input"] == {"log": ["x"]}
    assert run["kwargs"]["config"] == asked["config"]
    assert run["kwargs"]["context"] == {"k": 1}
    assert [sent.job.thread_id for sent in api.queue.sent] == [thread_id]
    assert await api.call("GET", f"/threads/{thread_id}/runs/{run['run_id']}") == run


async def test_a_threads_newest_run_says_which_graph_the_thread_is_of(api: Service) -> None:
    thread_id = await api.thread(metadata={"user": "ann"})
    await api.run(thread_id, "steps", input={"log": []})
    newest = await api.run(thread_id, "asks", input={"log": []})

    thread = await api.call("GET", f"/threads/{thread_id}")

    assert thread["metadata"] == {
        "user": "ann",
        "graph_id": "asks",
        "assistant_id": newest["assistant_id"],
    }
    assert thread["status"] == "busy"


async def test_an_assistant_goes_by_its_id_or_its_graph(api: Service) -> None:
    thread_id = await api.thread()
    by_graph = await api.run(thread_id, "steps")

    by_id = await api.run(thread_id, by_graph["assistant_id"])

    assert by_id["assistant_id"] == by_graph["assistant_id"]


async def test_runs_are_listed_newest_first(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": []})
    second = await api.run(thread_id, "steps", input={"log": []})
    third = await api.run(thread_id, "steps", input={"log": []})
    at = f"/threads/{thread_id}/runs"

    everything = await api.call("GET", at)

    assert [run["status"] for run in everything] == ["pending", "pending", "success"]
    assert everything[:2] == [third, second]
    assert await api.call("GET", f"{at}?limit=1&offset=1") == [second]
    assert await api.call("GET", f"{at}?status=success") == everything[2:]
    assert await api.call("GET", f"{at}?select=run_id&limit=1") == [{"run_id": third["run_id"]}]


async def test_waiting_gives_the_final_values_and_says_where_to_join(api: Service) -> None:
    thread_id = await api.thread()
    asked = {"assistant_id": "steps", "input": {"log": ["x"]}}
    async with worker(api):
        answer = await api.http.post(f"/threads/{thread_id}/runs/wait", json=asked)

    (run,) = await api.call("GET", f"/threads/{thread_id}/runs")
    at = f"/threads/{thread_id}/runs/{run['run_id']}"
    assert answer.json() == {"log": ["x", "a", "b", "c"]}
    assert (answer.headers["content-location"], answer.headers["location"]) == (at, f"{at}/join")
    assert await api.call("GET", f"{at}/join") == {"log": ["x", "a", "b", "c"]}


async def test_a_long_wait_is_kept_alive_by_line_breaks(
    api: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "HEARTBEAT", 0.01)
    thread_id = await api.thread()
    asked = {"assistant_id": "steps", "input": {"log": []}, "after_seconds": 0.1}
    async with worker(api):
        answer = await api.http.post(f"/threads/{thread_id}/runs/wait", json=asked)

    assert answer.text.startswith("\n\n")
    assert answer.json() == {"log": ["a", "b", "c"]}


async def test_a_question_ends_the_wait_and_an_answer_goes_on(api: Service) -> None:
    thread_id = await api.thread()
    at = f"/threads/{thread_id}/runs/wait"
    async with worker(api):
        asked = await api.call("POST", at, {"assistant_id": "asks", "input": {"log": []}})
        command = {"resume": "yes"}
        done = await api.call("POST", at, {"assistant_id": "asks", "command": command})

    (question,) = asked.pop("__interrupt__")
    assert (asked, question["value"]) == ({"log": ["a"]}, {"ask": "go on?"})
    assert question["id"]
    assert done == {"log": ["a", "answered yes", "c"]}


async def test_an_error_ends_the_wait_with_its_type_and_message(api: Service) -> None:
    thread_id = await api.thread()
    at = f"/threads/{thread_id}/runs/wait"
    async with worker(api):
        failed = await api.call("POST", at, {"assistant_id": "fails", "input": {"log": []}})
        again = await api.call("POST", at, {"assistant_id": "steps", "input": {"log": ["x"]}})

    assert failed == {"__error__": {"error": "ValueError", "message": "as told"}}
    assert again == {"log": ["a", "x", "a", "b", "c"]}


async def test_a_static_breakpoint_interrupts_and_no_input_goes_on(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": []}, interrupt_before=["b"])
    at = f"/threads/{thread_id}"
    stopped = await api.call("GET", at)
    (run,) = await api.call("GET", f"{at}/runs")

    await api.ran("steps", thread_id, interrupt_after="*")
    after_b = await values(api, thread_id)
    await api.ran("steps", thread_id)

    assert (stopped["status"], stopped["values"]["log"], run["status"]) == (
        "interrupted",
        ["a"],
        "interrupted",
    )
    assert await api.call("GET", f"{at}/runs/{run['run_id']}/join") == {"log": ["a"]}
    assert after_b == ["a", "b"]
    assert await values(api, thread_id) == ["a", "b", "c"]


@pytest.mark.parametrize("by", ["checkpoint_id", "checkpoint"])
async def test_a_run_starts_from_any_checkpoint_of_the_past(api: Service, by: str) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    states = await api.call("POST", f"/threads/{thread_id}/history", {})
    after_a = states[2]
    assert after_a["next"] == ["b"]

    await api.ran("steps", thread_id, **{by: after_a[by]})

    state = await api.call("GET", f"/threads/{thread_id}/state")
    assert state["values"] == {"log": ["x", "a", "b", "c"]}
    again = await api.call("POST", f"/threads/{thread_id}/history", {})
    forks = [s for s in again if s["parent_checkpoint_id"] == after_a["checkpoint_id"]]
    assert len(forks) == 2


async def test_a_busy_thread_queues_or_rejects(api: Service) -> None:
    thread_id = await api.thread()
    first = await api.run(thread_id, "steps", input={"log": ["1"]})
    second = await api.run(thread_id, "steps", input={"log": ["2"]})

    asked = {"assistant_id": "steps", "multitask_strategy": "reject"}
    refusal = await api.call("POST", f"/threads/{thread_id}/runs", asked, status=409)
    await api.work()

    assert first["run_id"] in refusal["detail"]
    assert await status(api, second) == "success"
    assert await values(api, thread_id) == [*"1abc", *"2abc"]


async def test_a_run_may_start_later(api: Service) -> None:
    thread_id = await api.thread()
    await api.run(thread_id, "steps", input={"log": []}, after_seconds=60)

    (sent,) = api.queue.sent
    await api.work()

    assert 59 < (sent.due - api.queue.clock()).total_seconds() <= 60
    assert api.queue.sent == [sent]


async def test_a_cancelled_run_ends_and_the_next_goes_on(api: Service) -> None:
    thread_id = await api.thread()
    first = await api.run(thread_id, "steps", input={"log": ["1"]})
    second = await api.run(thread_id, "steps", input={"log": ["2"]})
    at = f"/threads/{thread_id}/runs"

    await api.call("POST", f"{at}/{first['run_id']}/cancel", status=202)
    ended = await status(api, first)
    await api.work()

    assert (ended, await status(api, second)) == ("interrupted", "success")
    assert await values(api, thread_id) == ["2", "a", "b", "c"]
    assert await api.call("GET", f"{at}/{first['run_id']}/join") == {}


async def test_a_cancel_that_waits_has_nothing_to_wait_for(api: Service) -> None:
    thread_id = await api.thread()
    run = await api.run(thread_id, "steps", input={"log": []})
    cancel = f"/threads/{thread_id}/runs/{run['run_id']}/cancel"

    await api.call("POST", f"{cancel}?wait=1&action=interrupt", status=204)

    refusal = await api.call("POST", cancel, status=409)
    assert "has ended already" in refusal["detail"]


async def test_a_run_is_deleted_once_it_has_ended(api: Service) -> None:
    thread_id = await api.thread()
    run = await api.run(thread_id, "steps", input={"log": []})
    at = f"/threads/{thread_id}/runs/{run['run_id']}"

    await api.call("DELETE", at, status=409)
    await api.work()
    await api.call("DELETE", at, status=204)

    await api.call("GET", at, status=404)
    assert await values(api, thread_id) == ["a", "b", "c"]


async def test_the_same_request_twice_is_one_run(api: Service) -> None:
    thread_id = await api.thread()
    at = f"/threads/{thread_id}/runs"
    asked = {"assistant_id": "steps", "input": {"log": ["x"], "n": 1}}
    reordered = {"input": {"n": 1, "log": ["x"]}, "assistant_id": "steps"}
    key = {"Idempotency-Key": "k1"}

    run = await api.call("POST", at, asked, headers=key)
    again = await api.call("POST", at, reordered, headers=key)
    other = {**asked, "input": {"log": ["y"]}}
    refusal = await api.call("POST", at, other, headers=key, status=409)
    await api.work()
    waited = await api.call("POST", f"{at}/wait", asked, headers=key)

    assert again["run_id"] == run["run_id"]
    assert "k1" in refusal["detail"]
    assert waited == {"log": ["x", "a", "b", "c"]}
    assert len(await api.call("GET", at)) == 1


async def test_a_key_belongs_to_a_thread(api: Service) -> None:
    key = {"Idempotency-Key": "k1"}
    asked = {"assistant_id": "steps", "input": {"log": []}}
    await api.call("POST", f"/threads/{await api.thread()}/runs", asked, headers=key)

    other = f"/threads/{await api.thread()}/runs"
    await api.call("POST", other, asked, headers=key, status=409)


async def test_a_missing_thread_is_made_when_asked_for(api: Service) -> None:
    thread_id = str(uuid4())
    asked = {"assistant_id": "steps", "input": {"log": []}}

    await api.call("POST", f"/threads/{thread_id}/runs", asked, status=404)
    await api.call("POST", f"/threads/{thread_id}/runs", {**asked, "if_not_exists": "create"})
    await api.work()

    assert await values(api, thread_id) == ["a", "b", "c"]


@pytest.mark.parametrize("also", [{"checkpoint_id": str(uuid4())}, {"command": {"resume": 1}}])
async def test_no_thread_is_made_for_a_run_that_could_not_start_on_it(
    api: Service, also: dict[str, Any]
) -> None:
    thread_id = str(uuid4())
    asked = {"assistant_id": "steps", "if_not_exists": "create", **also}

    await api.call("POST", f"/threads/{thread_id}/runs", asked, status=404)

    await api.call("GET", f"/threads/{thread_id}", status=404)


async def test_what_was_accepted_stays_accepted_while_the_queue_is_down(
    api: Service, caplog: pytest.LogCaptureFixture
) -> None:
    fails(api.queue.send, Unavailable("no queue"))
    thread_id = await api.thread()

    run = await api.run(thread_id, "steps", input={"log": []})

    assert await status(api, run) == "pending"
    assert "the sweep will ring" in caplog.text


async def test_the_database_being_down_is_a_503_that_may_be_tried_again(api: Service) -> None:
    fails(api.rt.store.get_thread, Unavailable("Postgres cannot be reached"))

    answer = await api.http.get(f"/threads/{uuid4()}")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"detail": "a part that the server needs did not answer: try again"}


async def test_a_wait_that_cannot_go_on_is_broken_off(api: Service) -> None:
    thread_id = await api.thread()
    run = await api.run(thread_id, "steps", input={"log": []})
    fails(api.rt.store.runs_by_id, Unavailable("Postgres is gone"))

    with pytest.raises(RuntimeError, match="already started"):  # then uvicorn hangs up
        await api.http.get(f"/threads/{thread_id}/runs/{run['run_id']}/join")


async def test_many_clients_wait_at_once(api: Service) -> None:
    async def one(n: int) -> Any:
        at = f"/threads/{await api.thread()}/runs/wait"
        asked = {"assistant_id": "steps", "input": {"log": [str(n)]}}
        return await api.call("POST", at, asked)

    async with worker(api):
        done = await asyncio.gather(*(one(n) for n in range(20)))

    assert [d["log"][0] for d in done] == [str(n) for n in range(20)]
