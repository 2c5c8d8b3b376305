"""A thread's state through the API, over the memory double."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from graph.errors import Unavailable
from tests.fixtures.around import around, fails
from tests.fixtures.service import Service, service


@pytest.fixture
def api() -> Service:
    return service()


async def history(api: Service, thread_id: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await api.call("POST", f"/threads/{thread_id}/history", query)
    return found


def logs(states: list[dict[str, Any]]) -> list[str]:
    return ["".join(state["values"]["log"]) for state in states]


async def test_a_thread_on_which_nothing_ran_has_an_empty_state(api: Service) -> None:
    thread_id = await api.thread()

    state = await api.call("GET", f"/threads/{thread_id}/state")

    assert (state["values"], state["next"], state["tasks"]) == ({}, [], [])
    assert state["checkpoint"]["thread_id"] == thread_id
    assert state["checkpoint"]["checkpoint_id"] is None
    assert state["parent_checkpoint"] is None
    assert await history(api, thread_id) == []


async def test_the_state_tells_what_is_next_and_what_is_asked(api: Service) -> None:
    thread_id = await api.ran("asks", input={"log": ["x"]})

    state = await api.call("GET", f"/threads/{thread_id}/state")

    assert (state["values"], state["next"]) == ({"log": ["x", "a"]}, ["ask"])
    (task,) = state["tasks"]
    assert (task["name"], task["error"], task["state"]) == ("ask", None, None)
    assert task["interrupts"] == state["interrupts"]
    assert state["interrupts"][0]["value"] == {"ask": "go on?"}
    assert state["metadata"]["graph_id"] == "asks"
    assert state["created_at"]


async def test_messages_are_objects(api: Service) -> None:
    thread_id = await api.ran("chat", input={"messages": [{"role": "user", "content": "hi"}]})

    state = await api.call("GET", f"/threads/{thread_id}/state")

    assert [m["type"] for m in state["values"]["messages"]] == ["human", "ai"]


async def test_a_failed_task_tells_its_error(api: Service) -> None:
    thread_id = await api.ran("fails", input={"log": []})

    (task,) = (await api.call("GET", f"/threads/{thread_id}/state"))["tasks"]

    assert task["name"] == "fail"
    assert "as told" in task["error"]


async def test_every_state_of_the_past_can_be_read_at_its_checkpoint(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    states = await history(api, thread_id)

    assert logs(states) == ["xabc", "xab", "xa", "x", ""]
    assert [s["parent_checkpoint_id"] for s in states[:-1]] == [
        s["checkpoint_id"] for s in states[1:]
    ]
    for state in states:
        at = f"/threads/{thread_id}/state"
        assert state == await api.call("GET", f"{at}/{state['checkpoint_id']}")
        asked = {"checkpoint": state["checkpoint"]}
        assert state == await api.call("POST", f"{at}/checkpoint", asked)


async def test_history_is_bounded_from_both_sides(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    newest = (await history(api, thread_id, limit=1))[0]

    by_id = await history(api, thread_id, limit=2, before=newest["checkpoint_id"])
    by_checkpoint = await history(api, thread_id, limit=2, before=newest["checkpoint"])
    by_config = await history(
        api, thread_id, limit=2, before={"configurable": newest["checkpoint"]}
    )
    by_url = await api.call(
        "GET", f"/threads/{thread_id}/history?limit=2&before={newest['checkpoint_id']}"
    )
    oldest = (await history(api, thread_id))[-1]

    assert logs(by_id) == ["xab", "xa"]
    assert by_id == by_checkpoint == by_config == by_url
    assert await history(api, thread_id, before=oldest["checkpoint_id"]) == []


async def test_history_is_filtered_by_metadata_and_checkpoint(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    third = (await history(api, thread_id))[2]

    assert logs(await history(api, thread_id, metadata={"source": "input"})) == [""]
    assert logs(await history(api, thread_id, checkpoint=third["checkpoint"])) == ["xa"]
    assert await history(api, thread_id, metadata={"source": "nobody"}) == []


async def test_an_edit_is_a_new_state_that_the_run_goes_on_from(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]}, interrupt_before=["c"])
    at = f"/threads/{thread_id}"

    made = await api.call("POST", f"{at}/state", {"values": {"log": ["edited"]}})
    state = await api.call("GET", f"{at}/state")
    await api.ran("steps", thread_id)

    assert made["checkpoint"] == state["checkpoint"]
    assert (state["values"], state["next"]) == ({"log": ["x", "a", "b", "edited"]}, ["c"])
    assert (await api.call("GET", at))["values"] == {"log": ["x", "a", "b", "edited", "c"]}


async def test_an_edited_thread_still_waits_in_front_of_the_same_node(api: Service) -> None:
    thread_id = await api.ran("asks", input={"log": []})
    at = f"/threads/{thread_id}"

    await api.call("POST", f"{at}/state", {"values": {"log": ["edited"]}})
    thread = await api.call("GET", at)
    await api.ran("asks", thread_id, command={"resume": "yes"})

    assert (thread["status"], thread["interrupts"]) == ("interrupted", {})
    assert (await api.call("GET", at))["values"]["log"] == ["a", "edited", "answered yes", "c"]


async def test_an_edit_as_the_last_node_leaves_nothing_to_do(api: Service) -> None:
    thread_id = await api.ran("asks", input={"log": []})
    at = f"/threads/{thread_id}"

    await api.call("POST", f"{at}/state", {"values": {"log": ["done"]}, "as_node": "c"})

    thread = await api.call("GET", at)
    assert (thread["status"], thread["interrupts"]) == ("idle", {})
    assert (await api.call("GET", f"{at}/state"))["next"] == []


async def test_an_edit_in_the_past_is_a_fork(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    after_a = (await history(api, thread_id))[2]
    edit = {"values": {"log": ["!"]}, "checkpoint_id": after_a["checkpoint_id"]}

    made = await api.call("POST", f"/threads/{thread_id}/state", edit)
    forked = await api.call("GET", f"/threads/{thread_id}/state")
    await api.ran("steps", thread_id)

    assert forked["checkpoint"] == made["checkpoint"]
    assert forked["parent_checkpoint_id"] == after_a["checkpoint_id"]
    assert logs(await history(api, thread_id)) == [
        *("xa!bc", "xa!b", "xa!"),
        *("xabc", "xab", "xa", "x", ""),
    ]


async def test_a_thread_can_be_given_a_state_before_its_first_run(api: Service) -> None:
    thread_id = await api.thread(graph_id="steps")
    edit = {"values": {"log": ["given"]}, "as_node": "b"}

    await api.call("POST", f"/threads/{thread_id}/state", edit)
    await api.ran("steps", thread_id)

    assert (await api.call("GET", f"/threads/{thread_id}"))["values"]["log"] == ["given", "c"]


async def test_nested_states_are_read_and_edited(api: Service) -> None:
    thread_id = await api.ran("nests", input={"log": []})
    at = f"/threads/{thread_id}/state"

    shallow = await api.call("GET", at)
    deep = await api.call("GET", f"{at}?subgraphs=true")
    nested = deep["tasks"][0]["state"]
    edit = {"values": {"log": ["!"]}, "checkpoint": nested["checkpoint"], "as_node": "think"}
    await api.call("POST", at, edit)
    await api.ran("nests", thread_id, command={"resume": "yes"})

    place = shallow["tasks"][0]["checkpoint"]["checkpoint_ns"]
    assert place == nested["checkpoint"]["checkpoint_ns"]
    assert nested["values"] == {"log": ["outer", "think"]}
    by_place = await api.call("POST", f"{at}/checkpoint", {"checkpoint": nested["checkpoint"]})
    assert by_place["values"] == nested["values"]
    assert (await api.call("GET", at))["values"]["log"][-2:] == ["!", "answered yes"]


REFUSED = [
    ({"values": {"log": ["x"]}, "as_node": "nobody"}, 422),
    ({"values": {"log": 5}}, 422),
    ({"values": {"log": ["x"]}, "checkpoint_id": str(uuid4())}, 404),
    ({"values": {"log": ["x"]}, "checkpoint_id": "newest"}, 422),
    ({"values": "text"}, 422),
]


@pytest.mark.parametrize(("edit", "status"), REFUSED)
async def test_an_edit_that_is_refused_leaves_no_trace(
    api: Service, edit: dict[str, Any], status: int
) -> None:
    thread_id = await api.ran("asks", input={"log": []})
    before = await api.seen(thread_id)

    refusal = await api.call("POST", f"/threads/{thread_id}/state", edit, status=status)

    assert refusal["detail"]
    assert await api.seen(thread_id) == before


async def test_a_busy_thread_is_not_edited(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": []})
    await api.run(thread_id, "steps", input={"log": []})
    before = await api.seen(thread_id)

    edit = {"values": {"log": ["x"]}}
    refusal = await api.call("POST", f"/threads/{thread_id}/state", edit, status=409)

    assert "is busy with run" in refusal["detail"]
    assert await api.seen(thread_id) == before


async def test_an_edit_sees_what_a_run_did_meanwhile(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})

    async def after_another_run(hold: Any, *args: Any, **kwargs: Any) -> Any:
        await api.ran("steps", thread_id, input={"log": ["y"]})
        return await hold(*args, **kwargs)

    around(api.rt.store.hold, after_another_run)
    edit = {"values": {"log": ["!"]}}
    await api.call("POST", f"/threads/{thread_id}/state", edit)

    assert logs(await history(api, thread_id, limit=2)) == ["xabcyabc!", "xabcyabc"]


async def test_an_edit_whose_store_fails_under_the_hold_gives_it_back_at_once(
    api: Service,
) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    undo: list[Callable[[], None]] = []

    async def then_loading_fails(hold: Any, *args: Any, **kwargs: Any) -> Any:
        undo.append(fails(api.rt.store.load, Unavailable("the database has gone")))
        return await hold(*args, **kwargs)

    undo.append(around(api.rt.store.hold, then_loading_fails))
    edit = {"values": {"log": ["!"]}}
    await api.call("POST", f"/threads/{thread_id}/state", edit, status=503)
    assert len(undo) == 2
    for each in undo:
        each()
    await api.call("POST", f"/threads/{thread_id}/state", edit)


async def test_of_two_edits_at_once_one_comes_first(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    edits = [{"values": {"log": [mark]}} for mark in "!?"]

    answers = await asyncio.gather(
        *(api.http.post(f"/threads/{thread_id}/state", json=edit) for edit in edits)
    )

    done = sum(answer.status_code == 200 for answer in answers)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len(await history(api, thread_id)) == 5 + done
    state = await api.call("GET", f"/threads/{thread_id}/state")
    assert len(state["values"]["log"]) == 4 + done


async def test_a_state_belongs_to_a_graph(api: Service) -> None:
    thread_id = await api.thread()

    edit = {"values": {"log": ["x"]}}
    refusal = await api.call("POST", f"/threads/{thread_id}/state", edit, status=409)

    assert "has no graph yet" in refusal["detail"]


async def test_the_graph_of_a_thread_is_known_from_its_checkpoints_alone(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    await api.call("PATCH", f"/threads/{thread_id}", {"metadata": {"graph_id": None}})

    assert (await api.call("GET", f"/threads/{thread_id}/state"))["values"]["log"][0] == "x"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_checkpoint_is_not_found(api: Service, method: str) -> None:
    thread_id = await api.ran("steps", input={"log": []})
    unknown = str(uuid4())
    at = f"/threads/{thread_id}/state"

    if method == "GET":
        refusal = await api.call("GET", f"{at}/{unknown}", status=404)
    else:
        asked = {"checkpoint": {"checkpoint_id": unknown}}
        refusal = await api.call("POST", f"{at}/checkpoint", asked, status=404)

    assert refusal["detail"] == f"checkpoint {unknown} does not exist on thread {thread_id}"


@pytest.mark.parametrize(
    "query",
    [
        {"before": str(uuid4())},
        {"checkpoint": {"checkpoint_id": str(uuid4())}},
        {"checkpoint": {"checkpoint_ns": "nobody:1"}},
    ],
)
async def test_history_from_an_unknown_checkpoint_is_not_found(
    api: Service, query: dict[str, Any]
) -> None:
    thread_id = await api.ran("steps", input={"log": []})

    await api.call("POST", f"/threads/{thread_id}/history", query, status=404)


async def test_the_state_of_an_unknown_nested_graph_is_not_found(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": []})

    asked = {"checkpoint": {"checkpoint_ns": "nobody:1"}}
    await api.call("POST", f"/threads/{thread_id}/state/checkpoint", asked, status=404)
