"""The unmodified SDK's assistants and threads on Postgres behind pgbouncer."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk.errors import (
    APIStatusError,
    ConflictError,
    NotFoundError,
    UnprocessableEntityError,
)

from tests.integration.test_sdk import INPUT, Stack, stack

__all__ = ["stack"]  # the fixture


async def test_an_assistant_from_creation_to_deletion(stack: Stack) -> None:
    assistants = stack.sdk.assistants
    made = await assistants.create(
        "steps",
        config={"tags": ["t"]},
        context={"model": "small"},
        metadata={"team": "a"},
        assistant_id=str(uuid4()),
        name="Helper",
        description="helps",
    )
    name = made["assistant_id"]
    with pytest.raises(ConflictError, match="exists already"):
        await assistants.create("steps", assistant_id=name)
    same = await assistants.create("steps", assistant_id=name, if_exists="do_nothing")
    second = await assistants.update(name, metadata={"more": 1}, name="Better")
    versions = await assistants.get_versions(name)
    found = await assistants.search(metadata={"team": "a"}, sort_by="name", select=["name"])
    page = await assistants.search(limit=1, response_format="object")
    first = await assistants.set_latest(name, 1)

    assert same == made
    assert (second["version"], second["metadata"]) == (2, {"team": "a", "more": 1})
    assert [version["name"] for version in versions] == ["Better", "Helper"]
    assert await assistants.get_versions(name, metadata={"more": 1}) == versions[:1]
    assert found == [{"name": "Better"}]
    assert ([a["name"] for a in page["assistants"]], page["next"]) == (["Better"], "1")
    assert (first["version"], first["name"]) == (1, "Helper")
    assert await assistants.get(name) == first
    assert await assistants.count(name="help") == 1
    assert await assistants.count(graph_id="steps") == 2
    await assistants.delete(name)
    with pytest.raises(NotFoundError):
        await assistants.get(name)


async def test_what_an_assistant_is_made_of(stack: Stack) -> None:
    assistants = stack.sdk.assistants
    made = await assistants.create("nests")

    for name in ("nests", made["assistant_id"]):
        schemas = await assistants.get_schemas(name)
        drawn = await assistants.get_graph(name, xray=1)
        nested = await assistants.get_subgraphs(name, recurse=True)
        inner = await assistants.get_subgraphs(name, namespace="inner")

        assert "log" in schemas["input_schema"]["properties"]
        assert "inner:think" in {node["id"] for node in drawn["nodes"]}
        assert list(nested) == list(inner) == ["inner"]


async def test_a_run_on_an_assistant_keeps_what_it_was_given(stack: Stack) -> None:
    assistants, runs = stack.sdk.assistants, stack.sdk.runs
    config = {"recursion_limit": 2}
    made = await assistants.create("steps", config=config, metadata={"team": "a"})
    name, thread_id = made["assistant_id"], await stack.thread()

    run = await runs.create(thread_id, name, input=INPUT, after_seconds=0, metadata={"by": "me"})
    await assistants.update(name, config={"recursion_limit": 50})
    await runs.join(thread_id, run["run_id"])
    later = await runs.wait(thread_id, name, input=INPUT)

    assert run["metadata"] == {"team": "a", "by": "me"}
    assert run["kwargs"]["config"]["recursion_limit"] == 2
    assert (await runs.get(thread_id, run["run_id"]))["status"] == "error"
    assert later["log"][-3:] == ["a", "b", "c"]
    thread = await stack.sdk.threads.get(thread_id)
    assert thread["metadata"] == {"graph_id": "steps", "assistant_id": name}
    await assistants.delete(name, delete_threads=True)
    with pytest.raises(NotFoundError):
        await stack.sdk.threads.get(thread_id)


async def test_updates_at_once_are_versions_without_gaps(stack: Stack) -> None:
    assistants = stack.sdk.assistants
    name = (await assistants.create("steps"))["assistant_id"]

    made = await asyncio.gather(*(assistants.update(name, metadata={str(n): n}) for n in range(10)))

    assert sorted(version["version"] for version in made) == list(range(2, 12))
    assert len((await assistants.get(name))["metadata"]) == 10


def superstep(**update: Any) -> dict[str, Any]:
    return {"updates": [{"command": None, **update}]}


async def test_a_thread_is_made_with_a_state_and_copied(stack: Stack) -> None:
    threads, runs = stack.sdk.threads, stack.sdk.runs
    steps = [
        superstep(values={"log": ["x"]}, as_node="__start__"),
        superstep(values={"log": ["1"]}, as_node="a"),
    ]

    made = await threads.create(graph_id="steps", supersteps=steps, ttl=60)
    copy = await threads.copy(made["thread_id"])
    done = await runs.wait(made["thread_id"], "steps")
    bad = [superstep(values={}, as_node="nobody")]
    with pytest.raises(UnprocessableEntityError, match="refuses"):
        await threads.create(graph_id="steps", supersteps=bad)

    assert made["values"] == {"log": ["x", "1"]}
    assert done == {"log": ["x", "1", "b", "c"]}
    assert (await threads.get(copy["thread_id"], include=["ttl"]))["values"] == made["values"]
    assert len(await threads.get_history(copy["thread_id"])) == 2
    assert await runs.wait(copy["thread_id"], "steps") == done
    with pytest.raises(NotFoundError):
        await threads.copy(str(uuid4()))
    assert await threads.count() == 2


async def test_threads_are_searched_by_what_they_hold_and_pruned(stack: Stack) -> None:
    threads = stack.sdk.threads
    one, other = await stack.ran("steps"), await stack.ran("asks")

    both = await threads.search(values=INPUT, sort_by="state_updated_at")
    found = await threads.search(
        values={"log": ["b"]}, select=["status"], extract={"last": "values.log[-1]"}
    )
    pruned = await threads.prune([one, str(uuid4())], strategy="keep_latest")

    assert [thread["thread_id"] for thread in both] == [other, one]
    assert found == [{"status": "idle", "extracted": {"last": "c"}}]
    assert await threads.count(values=INPUT, status="interrupted") == 1
    assert pruned == {"pruned_count": 1}
    assert len(await threads.get_history(one)) == 1
    assert await threads.prune([one, other]) == {"pruned_count": 2}
    assert await threads.count() == 0


async def test_parts_of_states(stack: Stack) -> None:
    threads, thread_id = stack.sdk.threads, await stack.ran("asks")

    part = await threads.get_state(thread_id, select=["values.log", "next"])
    none = await threads.get_state(thread_id, select=["values.nothing"])
    past = await threads.get_history(thread_id, limit=1, select=["checkpoint"])
    at = past[0]["checkpoint"]

    assert part == {"values": {"log": ["x", "a"]}, "next": ["ask"]}
    assert none == {"values": {}}
    assert await threads.get_state(thread_id, checkpoint=at, select=["next"]) == {"next": ["ask"]}
    by_id = await threads.get_state(thread_id, checkpoint_id=at["checkpoint_id"], select=["next"])
    assert by_id == {"next": ["ask"]}


async def test_an_edit_of_a_state_that_has_moved_on(stack: Stack) -> None:
    threads, thread_id = stack.sdk.threads, await stack.ran("steps")
    seen = (await threads.get_state(thread_id))["checkpoint"]["checkpoint_id"]
    if_match = {"If-Match": seen}

    made = await threads.update_state(thread_id, {"log": ["!"]}, headers=if_match)
    with pytest.raises(APIStatusError, match=f"is not at checkpoint {seen}") as refused:
        await threads.update_state(thread_id, {"log": ["?"]}, headers=if_match)

    state = await threads.get_state(thread_id)
    assert state["checkpoint"] == made["checkpoint"]
    assert refused.value.status_code == 412
