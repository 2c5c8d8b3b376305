"""Runs through the unmodified SDK: double texting, runs without a thread, and what they promise."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import (
    APIStatusError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from graph.adapters.postgres import PostgresStore
from graph.runtime.models import StepJob
from graph.runtime.step import step
from tests.fixtures.service import service
from tests.integration.test_sdk import INPUT, Stack, served, stack

STRATEGIES = ["interrupt", "rollback"]
__all__ = ["stack"]  # the fixture
DONE = {"log": ["x", "a", "b", "c"]}


@pytest.fixture
async def idle(database_url: str) -> AsyncIterator[Stack]:
    """A stack on which nobody takes a step unless the test does."""
    store = PostgresStore(database_url)
    behind = service(store)
    async with served(behind.app) as url, get_client(url=url) as sdk:
        yield Stack(sdk, behind, url)
    await store.close()


async def one_step(stack: Stack) -> None:
    job = await stack.service.queue.receive()
    assert job is not None
    await step(job, stack.service.rt, time_left=30)


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_double_texting(idle: Stack, strategy: str) -> None:
    thread_id = await idle.thread()
    first = await idle.sdk.runs.create(thread_id, "steps", input=INPUT)
    await one_step(idle)
    await one_step(idle)
    queued = await idle.sdk.runs.create(thread_id, "steps", input=INPUT)

    second = await idle.sdk.runs.create(
        thread_id, "steps", input={"log": ["y"]}, multitask_strategy=strategy
    )
    await idle.service.work()

    final = await idle.sdk.runs.join(thread_id, second["run_id"])
    progress = ["x", "a", "b"] if strategy == "interrupt" else []
    assert final == {"log": [*progress, "y", "a", "b", "c"]}
    thread = await idle.sdk.threads.get(thread_id)
    assert (thread["status"], thread["values"]) == ("idle", final)
    for run in (first, queued):
        if strategy == "interrupt":
            seen = await idle.sdk.runs.get(thread_id, run["run_id"])
            assert seen["status"] == "interrupted"
        else:
            with pytest.raises(NotFoundError):
                await idle.sdk.runs.get(thread_id, run["run_id"])
    made = {s["metadata"]["run_id"] for s in await idle.sdk.threads.get_history(thread_id)}
    assert (first["run_id"] in made) is (strategy == "interrupt")


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_those_who_wait_for_a_displaced_run_hear_its_end(idle: Stack, strategy: str) -> None:
    thread_id = await idle.thread()
    run = await idle.sdk.runs.create(thread_id, "steps", input=INPUT, stream_mode="updates")
    joining = asyncio.create_task(idle.sdk.runs.join(thread_id, run["run_id"]))
    told: list[str] = []

    async def follow() -> None:
        async for part in idle.sdk.runs.join_stream(thread_id, run["run_id"]):
            told.append(part.event)

    following = asyncio.create_task(follow())
    while "metadata" not in told:
        await asyncio.sleep(0.01)
    await idle.sdk.runs.create(thread_id, "steps", input=INPUT, multitask_strategy=strategy)

    async with asyncio.timeout(20):
        final = await joining
        await following
    assert told[-1] == "end"
    if strategy == "rollback":
        assert final["__error__"]["error"] == "RunDeleted"
    else:
        assert "__error__" not in final


@pytest.mark.parametrize("wait", [True, False])
async def test_cancelling_by_rollback(idle: Stack, wait: bool) -> None:
    thread_id = await idle.thread()
    await idle.sdk.runs.create(thread_id, "asks", input=INPUT)
    await idle.service.work()
    before = await idle.seen(thread_id)
    run = await idle.sdk.runs.create(thread_id, "asks", command={"resume": "yes"})
    await one_step(idle)

    await idle.sdk.runs.cancel(thread_id, run["run_id"], wait=wait, action="rollback")

    after = await idle.seen(thread_id)
    assert after[1:] == before[1:]
    assert after[0] | {"updated_at": before[0]["updated_at"]} == before[0]
    await idle.sdk.runs.create(thread_id, "asks", command={"resume": "no"})
    await idle.service.work()
    values = (await idle.sdk.threads.get_state(thread_id))["values"]
    assert values == {"log": ["x", "a", "answered no", "c"]}


async def test_a_nested_graph_is_rolled_back_too(idle: Stack) -> None:
    thread_id = await idle.thread()
    await idle.sdk.runs.create(thread_id, "nests", input=INPUT)
    await idle.service.work()
    before = await idle.seen(thread_id)
    run = await idle.sdk.runs.create(thread_id, "nests", command={"resume": "yes"})
    assert (await idle.sdk.threads.get_state(thread_id, subgraphs=True))["tasks"]
    await idle.sdk.runs.cancel(thread_id, run["run_id"], action="rollback")
    assert (await idle.seen(thread_id))[1:] == before[1:]
    await idle.sdk.runs.create(thread_id, "nests", command={"resume": "yes"})
    await idle.service.work()
    assert (await idle.sdk.threads.get(thread_id))["status"] == "idle"


async def test_if_match(stack: Stack) -> None:
    thread_id = await stack.ran("steps")
    state = await stack.sdk.threads.get_state(thread_id)
    match = {"If-Match": f'"{state["checkpoint"]["checkpoint_id"]}"'}
    ran = await stack.sdk.runs.wait(thread_id, "steps", input=INPUT, headers=match)
    assert ran == {"log": DONE["log"] * 2}
    before = await stack.seen(thread_id)
    for call in (stack.sdk.runs.create, stack.sdk.runs.wait):
        with pytest.raises((APIStatusError, httpx.HTTPStatusError)) as refused:
            await call(thread_id, "steps", input=INPUT, headers=match)
        assert refused.value.response.status_code == 412
    with pytest.raises((APIStatusError, httpx.HTTPStatusError)) as refused:
        [part async for part in stack.sdk.runs.stream(thread_id, "steps", headers=match)]
    assert refused.value.response.status_code == 412
    assert await stack.seen(thread_id) == before


async def test_a_strict_resume(stack: Stack) -> None:
    thread_id = await stack.ran("asks")
    [asked] = (await stack.sdk.threads.get_state(thread_id))["interrupts"]
    stale = {"resume": {"0" * 32: "yes"}}
    with pytest.raises(ConflictError):
        await stack.sdk.runs.create(thread_id, "asks", command=stale, strict_resume=True)
    answer = {"resume": {asked["id"]: "yes"}}
    final = await stack.sdk.runs.wait(thread_id, "asks", command=answer, strict_resume=True)
    assert final == {"log": ["x", "a", "answered yes", "c"]}
    with pytest.raises(ConflictError):
        await stack.sdk.runs.create(thread_id, "asks", command=answer, strict_resume=True)


async def test_a_strict_answer_that_comes_too_late_is_an_error_of_its_run_alone(
    stack: Stack,
) -> None:
    thread_id = await stack.ran("asks")
    [asked] = (await stack.sdk.threads.get_state(thread_id))["interrupts"]
    answer: Any = {"command": {"resume": {asked["id"]: "yes"}}, "strict_resume": True}
    first, late = [
        await stack.sdk.runs.create(thread_id, "asks", **answer, after_seconds=seconds)
        for seconds in (1, 0)
    ]
    assert (await stack.sdk.runs.join(thread_id, first["run_id"]))["log"][-1] == "c"
    refused = await stack.sdk.runs.join(thread_id, late["run_id"])
    assert refused["__error__"]["error"] == "Conflict"
    assert (await stack.sdk.runs.get(thread_id, late["run_id"]))["status"] == "error"
    thread = await stack.sdk.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("idle", None)
    assert thread["values"] == {"log": ["x", "a", "answered yes", "c"]}


async def test_runs_without_a_thread(stack: Stack) -> None:
    made: list[Any] = []
    run = await stack.sdk.runs.create(None, "steps", input=INPUT, on_run_created=made.append)
    assert made[0]["run_id"] == run["run_id"]
    assert await stack.sdk.runs.join(run["thread_id"], run["run_id"]) == DONE
    assert await stack.sdk.runs.wait(None, "steps", input=INPUT) == DONE
    assert await stack.sdk.runs.join(run["thread_id"], run["run_id"]) == DONE  # still
    parts = [
        part.event
        async for part in stack.sdk.runs.stream(None, "steps", input=INPUT, stream_mode="updates")
    ]
    assert parts == ["metadata", "updates", "updates", "updates", "end"]
    failed = await stack.sdk.runs.wait(None, "fails", input=INPUT, raise_error=False)
    assert failed["__error__"]["error"] == "ValueError"
    asks = await stack.sdk.runs.wait(None, "asks", input=INPUT)
    assert asks["__interrupt__"][0]["value"] == {"ask": "go on?"}


async def test_the_thread_of_such_a_run_goes_after_a_while_or_is_kept(stack: Stack) -> None:
    runs = [
        await stack.sdk.runs.create(None, "steps", input=INPUT, on_completion=then)
        for then in ("delete", "keep")
    ]
    for run in runs:
        await stack.sdk.runs.join(run["thread_id"], run["run_id"])
    later = datetime.now(UTC) + timedelta(minutes=61)
    assert await stack.service.rt.store.expire_threads(limit=10, now=later) == 1
    gone, kept = runs
    with pytest.raises(NotFoundError):
        await stack.sdk.threads.get(gone["thread_id"])
    assert await stack.sdk.runs.join(kept["thread_id"], kept["run_id"]) == DONE


async def test_a_batch(stack: Stack) -> None:
    asked = [{"assistant_id": "steps", "input": {"log": [name]}} for name in "pq"]
    runs = await stack.sdk.runs.create_batch(asked)
    finals = [await stack.sdk.runs.join(run["thread_id"], run["run_id"]) for run in runs]
    assert [final["log"][0] for final in finals] == ["p", "q"]
    threads = await stack.sdk.threads.count()
    with pytest.raises(NotFoundError):
        await stack.sdk.runs.create_batch([*asked, {"assistant_id": "nobody"}])
    with pytest.raises(UnprocessableEntityError):
        await stack.sdk.runs.create_batch([])
    assert await stack.sdk.threads.count() == threads


@pytest.mark.parametrize("action", STRATEGIES)
async def test_cancelling_many(idle: Stack, action: str) -> None:
    sdk, thread_id = idle.sdk, await idle.thread()
    runs = [await sdk.runs.create(thread_id, "steps", input=INPUT) for _ in range(3)]
    alone = await sdk.runs.create(None, "steps", input=INPUT)
    named = [run["run_id"] for run in runs[:2]]

    await sdk.runs.cancel_many(thread_id=thread_id, run_ids=named, action=action)

    left = {run["run_id"] for run in await sdk.runs.list(thread_id, status="pending")}
    assert left == {runs[2]["run_id"]}
    with pytest.raises(NotFoundError):
        await sdk.runs.cancel_many(thread_id=thread_id, run_ids=[alone["run_id"]])
    await sdk.runs.cancel_many(status="pending", action=action)
    await sdk.runs.cancel_many(status="all", action=action)
    statuses = [run["status"] for run in await sdk.runs.list(thread_id)]
    assert statuses == ([] if action == "rollback" else ["interrupted"] * 3)
    assert (await sdk.threads.get(thread_id))["status"] == "idle"
    assert (await sdk.threads.get(alone["thread_id"]))["status"] == "idle"
    await idle.service.work()
    assert [r["status"] for r in await sdk.runs.list(thread_id)] == statuses


async def test_listing_by_status_and_field(stack: Stack) -> None:
    thread_id = await stack.ran("steps")
    await stack.sdk.runs.wait(thread_id, "fails", input=INPUT, raise_error=False)
    failed = await stack.sdk.runs.list(thread_id, status="error", select=["status", "run_id"])
    assert [set(run) for run in failed] == [{"status", "run_id"}]
    assert [run["status"] for run in failed] == ["error"]


@pytest.mark.filterwarnings("ignore:`checkpoint_during` is deprecated")
@pytest.mark.parametrize(
    "asked",
    [
        {"durability": "sync"},
        {"durability": "async"},
        {"durability": "exit"},
        {"checkpoint_during": True},
        {"checkpoint_during": False},
    ],
    ids=str,
)
async def test_every_step_is_saved_whatever_durability_was_asked(
    stack: Stack, asked: dict[str, Any]
) -> None:
    thread_id = await stack.thread()
    assert await stack.sdk.runs.wait(thread_id, "steps", input=INPUT, **asked) == DONE
    assert len(await stack.sdk.threads.get_history(thread_id)) == 5


async def test_a_queued_run_whose_start_was_rolled_back_says_so(idle: Stack) -> None:
    thread_id = await idle.thread()
    first = await idle.sdk.runs.create(thread_id, "steps", input=INPUT)
    await one_step(idle)
    base = (await idle.sdk.threads.get_state(thread_id))["checkpoint"]["checkpoint_id"]
    fork = await idle.sdk.runs.create(thread_id, "steps", input=INPUT, checkpoint_id=base)
    await idle.sdk.runs.cancel(thread_id, first["run_id"], action="rollback")
    await idle.service.work()
    run = await idle.sdk.runs.get(thread_id, fork["run_id"])
    assert (run["status"], run["error"]["error"]) == ("error", "NotFound")
    assert base in run["error"]["message"]


async def test_a_worker_in_mid_step_loses_its_claim(idle: Stack) -> None:
    thread_id = await idle.thread()
    await idle.sdk.runs.create(thread_id, "steps", input=INPUT)
    created: list[Any] = []

    async def cut(name: str) -> None:
        if name == "after the node's effect" and not created:
            text = idle.sdk.runs.create(
                thread_id, "steps", input={"log": ["y"]}, multitask_strategy="rollback"
            )
            created.append(await text)

    slow = replace(idle.service.rt, cut=cut)
    assert await step(StepJob(thread_id, 0), slow, time_left=30) == "lost"
    await idle.service.work()
    final = await idle.sdk.runs.join(thread_id, created[0]["run_id"])
    assert final == {"log": ["y", "a", "b", "c"]}
    assert len(await idle.sdk.threads.get_history(thread_id)) == 5
