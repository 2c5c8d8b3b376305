"""The unmodified SDK through gateway, API, queue, step function and Postgres, as deployed."""

import asyncio
import json
from typing import Any

import httpx
import psycopg
import pytest
from langgraph.pregel.remote import RemoteGraph

from infra.local.event_source import Pace
from infra.local.events import failed_of, sqs_event
from infra.local.sqs_queue import in_thread
from tests.e2e.deployment import Around, deployment
from tests.e2e.figures import Figures
from tests.e2e.test_account import received, values_after
from tests.fixtures.node import Node

INPUT = {"log": ["x"]}
PATIENCE = 30.0


async def test_a_run_its_state_and_its_history(around: Around) -> None:
    async with deployment(around) as it:
        thread_id = await it.thread()
        run = await it.sdk.runs.create(thread_id, "steps", input=INPUT)
        values = await it.sdk.runs.join(thread_id, run["run_id"])
        state = await it.sdk.threads.get_state(thread_id)
        history = await it.sdk.threads.get_history(thread_id, limit=20)
        again = await it.sdk.runs.wait(thread_id, "steps", input={"log": ["y"]})

    assert values == state["values"] == {"log": ["x", "a", "b", "c"]}
    assert [len(past["values"].get("log", ())) for past in history] == [4, 3, 2, 1, 0]
    assert again == {"log": ["x", "a", "b", "c", "y", "a", "b", "c"]}


async def test_a_question_is_asked_and_answered(around: Around) -> None:
    async with deployment(around) as it:
        thread_id = await it.thread()
        asked = await it.sdk.runs.wait(thread_id, "asks", input=INPUT)
        thread = await it.sdk.threads.get(thread_id)
        done = await it.sdk.runs.wait(thread_id, "asks", command={"resume": "yes"})

    assert [question["value"] for question in asked["__interrupt__"]] == [{"ask": "go on?"}]
    assert thread["status"] == "interrupted"
    assert done == {"log": ["x", "a", "answered yes", "c"]}


async def test_a_remote_graph(around: Around) -> None:
    async with deployment(around) as it:
        remote = RemoteGraph("steps", client=it.sdk)
        config: Any = {"configurable": {"thread_id": await it.thread()}}
        chunks = [chunk async for chunk in remote.astream(INPUT, config, stream_mode="updates")]
        values = await remote.ainvoke({"log": ["y"]}, config)

    assert chunks == [{"a": {"log": ["a"]}}, {"b": {"log": ["b"]}}, {"c": {"log": ["c"]}}]
    assert values == {"log": ["x", "a", "b", "c", "y", "a", "b", "c"]}


async def test_the_javascript_sdk(around: Around, node: Node) -> None:
    """Threads, runs, a question and its answer, and a stream, which comes in segments."""
    async with deployment(around) as it:
        seen = await node(node.sdk, it.url, "approve", it.key)
        threads = await node(node.sdk, it.url, "threads", it.key)

    assert (seen["status"], seen["parts"][-1]["event"]) == ("interrupted", "end")
    assert seen["state"]["values"] == {"log": ["x", "a", "answered yes", "c"]}
    assert (threads["history"], threads["gone"]) == (5, 404)


async def test_waiting_longer_than_one_request_may_take(around: Around) -> None:
    """Each request ends well before the gateway gives up, and says where the wait goes on.

    The Python client does not follow it and raises; what does follow gets the values in the end.
    """
    async with deployment(around, BATON_WAIT_SECONDS="0.2") as it:
        thread_id = await it.thread()
        with pytest.raises(httpx.HTTPStatusError, match="303") as cut:
            await it.sdk.runs.wait(thread_id, "sleeps", input=INPUT)
        url = cut.value.response.next_request
        polls, headers = 0, {"x-api-key": it.key}
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(headers=headers) as http:
            while url is not None:
                polled = await http.send(url)
                url, polls = polled.next_request, polls + 1

    started, ended = polled.json()["slept"]
    assert ended - started > 1
    assert polls > 1


@pytest.mark.parametrize("asked", [1, 4, 10])
async def test_as_many_steps_run_at_once_as_there_are_environments(
    around: Around, figures: Figures, asked: int
) -> None:
    """Each step waits for all the others, every one in a process of its own."""
    meeting = around.folder / "meeting"
    meeting.mkdir()
    wish = {"meeting": str(meeting), "wanted": asked}
    async with deployment(around, steps=asked, pace=Pace(batch_size=1)) as it:
        threads = [await it.thread() for _ in range(asked)]
        ended = await asyncio.gather(
            *(values_after(it.sdk, thread_id, "meets", input=wish) for thread_id in threads)
        )

    seen = [values["met"] for values in ended]
    figures.add(f"steps at once, {asked} asked", f"{min(seen)} seen", "all that were asked")
    assert seen == [asked] * asked


async def test_only_the_failed_part_of_a_batch_comes_again(around: Around) -> None:
    """One batch with a good message and one that nobody can read."""
    async with deployment(around, steps=0) as it:
        thread_id = await it.thread()
        await it.sdk.runs.create(thread_id, "steps", input=INPUT)
        await in_thread(
            lambda: it.queue.client.send_message(QueueUrl=it.queue.url, MessageBody="?")
        )
        step = await it.functions.start("step")
        batch = await it.queue.receive(10)
        failed = failed_of(await step.invoke(sqs_event(batch, it.queue.arn)), batch)
        history = await it.sdk.threads.get_history(thread_id, limit=10)

    assert sorted(message.body == "?" for message in batch) == [False, True]
    assert [message.body for message in failed] == ["?"]
    assert len(history) > 1


async def test_a_message_nobody_can_read_becomes_a_dead_letter_and_can_be_redriven(
    around: Around,
) -> None:
    async with deployment(around, pace=Pace(batch_size=10)) as it:
        sqs, dead = it.queue.client, f"{it.queue.url}-dead"
        await in_thread(lambda: sqs.send_message(QueueUrl=it.queue.url, MessageBody="?"))
        thread_id = await it.thread()
        values = await it.sdk.runs.wait(thread_id, "steps", input=INPUT)
        letter = await received(sqs, dead)
        await in_thread(lambda: sqs.send_message(QueueUrl=it.queue.url, MessageBody=letter["Body"]))
        again = await received(sqs, dead)

    assert values == {"log": ["x", "a", "b", "c"]}
    assert (letter["Body"], again["Body"]) == ("?", "?")


async def test_the_clock_rings_for_what_the_queue_lost(around: Around) -> None:
    async with deployment(around, steps=0) as it:
        thread_id = await it.thread()
        await it.sdk.runs.create(thread_id, "steps", input=INPUT)
        lost = await it.queue.receive(10)
        await it.queue.delete(lost)
        with psycopg.connect(it.direct_url, autocommit=True) as database:
            database.execute("UPDATE threads SET updated_at = now() - interval '1 hour'")
        sweep = await it.functions.start("sweep")
        swept = await sweep.invoke({"source": "aws.events"})
        rung = await it.queue.receive(10)

    assert swept["rung"] == 1
    assert [json.loads(m.body)["thread_id"] for m in rung] == [thread_id]


async def test_the_kill_switch_stops_steps_and_loses_nothing(around: Around) -> None:
    async with deployment(around, steps=0) as it:
        thread_id = await it.thread()
        await it.sdk.runs.create(thread_id, "steps", input=INPUT)
        batch = await it.queue.receive(10)
        event = sqs_event(batch, it.queue.arn)
        stopped = await it.functions.start("step", BATON_STOPPED="true")
        await stopped.invoke(event)
        untouched = await it.sdk.threads.get_history(thread_id, limit=10)
        await (await it.functions.start("step")).invoke(event)
        moved = await it.sdk.threads.get_history(thread_id, limit=10)

    assert len(moved) > len(untouched)


async def test_the_migrate_function_migrates_once(around: Around) -> None:
    async with deployment(around, steps=0) as it:
        again = await (await it.functions.start("migrate")).invoke({})

    assert it.migrated == sorted(it.migrated)
    assert len(it.migrated) >= 2
    assert again == {"applied": []}


async def test_without_the_key_nothing_is_answered(around: Around) -> None:
    async with deployment(around, steps=0) as it, httpx.AsyncClient() as http:
        refused = await http.post(f"{it.url}/threads", json={})
        allowed = await http.get(f"{it.url}/ok", headers={"x-api-key": it.key})

    assert (refused.status_code, refused.json()) == (403, {"message": "Forbidden"})
    assert (allowed.status_code, allowed.json()) == (200, {"ok": True})
