"""The unmodified SDK's v3 thread streams."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from graph.adapters.postgres import PostgresStore
from tests.integration.test_sdk import INPUT, Stack
from tests.integration.test_streams import following, offer, ticking


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    store = PostgresStore(database_url)
    async with following(store) as made:
        yield made
    await store.close()


async def test_a_run_started_and_its_states_followed(stack: Stack) -> None:
    async with stack.sdk.threads.stream(assistant_id="steps") as thread:
        started = await thread.run.start(input=INPUT)
        values = [state async for state in thread.values]
        assert values[-1] == {"log": ["x", "a", "b", "c"]}
        assert await thread.output == values[-1]
    (run,) = await stack.sdk.runs.list(thread.thread_id)
    assert run["run_id"] == started["run_id"]


async def test_messages_arrive_as_streams(stack: Stack) -> None:
    given = {"messages": [{"role": "user", "content": "hi"}]}
    async with stack.sdk.threads.stream(assistant_id="chat") as thread:
        await thread.run.start(input=given)
        messages = [message async for message in thread.messages]
        await thread.output
        said = [await message.text for message in messages]
    assert said == ["you said hi"]


async def test_a_question_is_answered_on_the_same_stream(stack: Stack) -> None:
    async with stack.sdk.threads.stream(assistant_id="asks") as thread:
        await thread.run.start(input=INPUT)
        async for _ in thread.values:
            pass
        while not thread.interrupted:
            await asyncio.sleep(0.02)
        assert [i["value"] for i in thread.interrupts] == [{"ask": "go on?"}]
        await thread.run.respond("yes")
        assert await thread.output == {"log": ["x", "a", "answered yes", "c"]}


async def test_a_failure_is_raised_and_an_old_thread_is_attached_to(stack: Stack) -> None:
    async with stack.sdk.threads.stream(assistant_id="fails") as thread:
        await thread.run.start(input=INPUT)
        with pytest.raises(RuntimeError, match="as told"):
            await thread.output
    done = await stack.thread()
    await stack.sdk.runs.wait(done, "steps", input=INPUT)
    async with stack.sdk.threads.stream(done, assistant_id="steps") as thread:
        assert await thread.output == {"log": ["x", "a", "b", "c"]}
        await thread.run.start(input={"log": ["y"]})
        last = [state async for state in thread.values][-1]
        assert last["log"][-4:] == ["y", "a", "b", "c"]


async def test_since_goes_on_after_an_event_without_loss(stack: Stack) -> None:
    offer(stack, ticking=ticking(5, 0.02))
    thread_id = await stack.thread()
    path = f"{stack.url}/threads/{thread_id}"
    http = stack.sdk.http.client
    command: Any = {"id": 7, "method": "run.start", "params": {"assistant_id": "ticking"}}
    command["params"]["input"] = {"log": []}
    said = (await http.post(f"{path}/commands", json=command)).json()
    assert (said["type"], said["id"]) == ("success", 7)

    whole = await frames(stack, thread_id, since=0)
    cut = whole[4]["seq"]
    rest = await frames(stack, thread_id, since=cut)

    assert [f["event_id"] for f in rest if f["method"] != "lifecycle"] == [
        f["event_id"] for f in whole if f["method"] != "lifecycle" and f["seq"] > cut
    ]
    assert rest[-1]["params"]["data"]["event"] == "completed"
    last = await frames(stack, thread_id, since=whole[-1]["seq"])
    assert [f["params"]["data"]["event"] for f in last] == ["started", "completed"]


async def frames(stack: Stack, thread_id: str, since: int) -> list[Any]:
    """All until the run's end."""
    got: list[Any] = []
    asked = {"channels": ["values", "custom", "lifecycle"], "since": since}
    path = f"/threads/{thread_id}/stream/events"
    async for part in stack.sdk.http.stream(path, "POST", json=asked):
        got.append(part.data)
        data = part.data["params"]["data"]
        if part.data["method"] == "lifecycle" and data["event"] == "completed":
            break
    return got


async def test_what_is_refused_says_why(stack: Stack) -> None:
    thread_id = await stack.thread()
    call = stack.service.call
    path = f"/threads/{thread_id}"
    unknown = await call("POST", f"{path}/commands", {"id": 1, "method": "agent.getTree"})
    assert (unknown["type"], unknown["error"]) == ("error", "unknown_command")
    asked = {"id": 2, "method": "run.start", "params": {"assistant_id": "nobody"}}
    nobody = await call("POST", f"{path}/commands", asked)
    assert (nobody["type"], nobody["id"]) == ("error", 2)
    assert "nobody" in nobody["message"]
    wrongs: list[Any] = [{}, {"channels": []}, {"channels": ["values"], "since": -1}]
    for wrong in wrongs:
        await call("POST", f"{path}/stream/events", wrong, status=422)


async def test_a_buffered_address_says_where_it_works(database_url: str) -> None:
    store = PostgresStore(database_url)
    async with following(store, segments=True) as stack:
        thread_id = await stack.thread()
        for path, body in (
            ("commands", {"id": 1, "method": "run.start"}),
            ("stream/events", {"channels": ["values"]}),
        ):
            http = stack.sdk.http.client
            refused = await http.post(f"/threads/{thread_id}/{path}", json=body)
            assert refused.status_code == 501
            assert "streaming address" in refused.json()["detail"]
    await store.close()


async def test_it_is_the_same_where_the_run_is_stepped_as_its_command_comes(
    database_url: str,
) -> None:
    store = PostgresStore(database_url)
    async with following(store, line_seconds=600.0, line_lease=5.0) as stack:
        offer(stack, ticking=ticking(5, 0.05))
        async with stack.sdk.threads.stream(assistant_id="ticking") as thread:
            await thread.run.start(input={"log": []})
            lines = dict(stack.service.app.state.edge().lines)
            values = [state async for state in thread.values]
            assert await thread.output == values[-1]
        assert values[-1]["log"] == [f"tick {n}" for n in range(5)]
        assert len(lines) == 1
    await store.close()
