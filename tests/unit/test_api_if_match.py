"""Edits for a state that a client has seen: If-Match, over the memory double."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.around import around
from tests.fixtures.service import Service, service

EDIT = {"values": {"log": ["!"]}}


@pytest.fixture
def api() -> Service:
    return service()


async def newest(api: Service, thread_id: str) -> str:
    answer = await api.http.get(f"/threads/{thread_id}/state")
    head: str = answer.json()["checkpoint_id"]
    assert answer.headers["etag"] == f'"{head}"'
    return head


async def edit(api: Service, thread_id: str, if_match: str, **options: Any) -> Any:
    headers = {"If-Match": if_match}
    return await api.call("POST", f"/threads/{thread_id}/state", EDIT, headers=headers, **options)


@pytest.mark.parametrize("form", ["{}", '"{}"', ' "{}" '])
async def test_an_edit_of_the_newest_state_is_made(api: Service, form: str) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})

    made = await edit(api, thread_id, form.format(await newest(api, thread_id)))

    assert made["checkpoint_id"] == await newest(api, thread_id)


async def test_an_edit_of_a_state_that_is_not_the_newest_any_more_is_refused(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    seen = await newest(api, thread_id)
    await api.ran("steps", thread_id, input={"log": ["y"]})
    before = await api.seen(thread_id)

    refusal = await edit(api, thread_id, seen, status=412)

    assert f"is not at checkpoint {seen} (If-Match)" in refusal["detail"]
    assert f"its newest checkpoint is {await newest(api, thread_id)}" in refusal["detail"]
    assert await api.seen(thread_id) == before


async def test_a_thread_without_a_state_is_at_no_checkpoint(api: Service) -> None:
    thread_id = await api.thread(graph_id="steps")

    refusal = await edit(api, thread_id, str(uuid4()), status=412)

    assert "it has no checkpoint" in refusal["detail"]
    assert "etag" not in (await api.http.get(f"/threads/{thread_id}/state")).headers


@pytest.mark.parametrize("if_match", ["*", "newest", '"a", "b"', ""])
async def test_a_header_that_names_no_checkpoint(api: Service, if_match: str) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    before = await api.seen(thread_id)

    refusal = await edit(api, thread_id, if_match, status=422)

    assert refusal["detail"].startswith("header.If-Match: it must be the checkpoint_id")
    assert await api.seen(thread_id) == before


async def test_of_edits_at_once_for_the_same_state_one_is_made(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    headers = {"If-Match": await newest(api, thread_id)}

    answers = await asyncio.gather(
        *(
            api.http.post(f"/threads/{thread_id}/state", json=EDIT, headers=headers)
            for _ in range(5)
        )
    )

    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 200
    assert set(codes[1:]) <= {409, 412}
    state = await api.call("GET", f"/threads/{thread_id}/state")
    assert state["values"]["log"] == ["x", "a", "b", "c", "!"]


async def meanwhile(api: Service, thread_id: str, **asked: Any) -> None:
    """Before the next edit holds the thread, a run comes and goes."""

    async def after_another_run(hold: Any, *args: Any, **kwargs: Any) -> Any:
        undo()
        await api.ran("steps", thread_id, **asked)
        return await hold(*args, **kwargs)

    undo = around(api.rt.store.hold, after_another_run)


async def test_what_comes_between_is_noticed_under_the_hold(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]})
    seen = await newest(api, thread_id)

    await meanwhile(api, thread_id, input={"log": ["y"]})
    await edit(api, thread_id, seen, status=412)

    before = await api.seen(thread_id)
    assert before[0]["values"]["log"][-1] == "c"
    await edit(api, thread_id, await newest(api, thread_id))  # nobody holds it


async def test_an_edit_that_is_refused_under_the_hold_gives_it_back_at_once(api: Service) -> None:
    thread_id = await api.ran("steps", input={"log": ["x"]}, interrupt_before=["c"])
    at = f"/threads/{thread_id}/state"
    await meanwhile(api, thread_id)
    nodes = api.loaded.graphs["steps"].nodes

    async def then_it_is_another_graph(hold: Any, *args: Any, **kwargs: Any) -> Any:
        claim = await hold(*args, **kwargs)
        del nodes["b"]
        return claim

    undo = around(api.rt.store.hold, then_it_is_another_graph)
    refusal = await api.call("POST", at, {**EDIT, "as_node": "b"}, status=422)
    undo()

    assert "Node b does not exist" in refusal["detail"]
    await api.call("POST", at, {**EDIT, "as_node": "c"})
