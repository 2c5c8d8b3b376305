"""Every method of the SDK's clients with every parameter it has, as its own signatures tell them.

`pytest -s` prints them. A newer SDK with more of them fails here until they are called.
"""

import functools
import inspect
import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from langgraph_sdk import get_client, get_sync_client

from graph.adapters.postgres import PostgresStore
from graph.runtime.models import Notice
from tests.fixtures.service import service, worker
from tests.integration.test_sdk import INPUT, served

PARTS = ("assistants", "threads", "runs", "crons", "store")
EVERYWHERE = {"headers", "params"}  # of any request at all
DONE = {"log": ["x", "a", "b", "c"]}
HOOK = "https://example.com/hook"
LATER = datetime.now(UTC) + timedelta(days=400)


class Quiet:
    """A notify queue whose notices nobody receives."""

    async def send(self, notice: Notice, *, owner: str, delay: float = 0.0) -> None: ...


class Noting:
    """A client, or a part of one, that keeps which parameters its methods were given."""

    def __init__(self, real: Any, given: dict[str, set[str]], path: str = "") -> None:
        self._real, self._given, self._path = real, given, path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not self._path:
            return Noting(found, self._given, name)

        @functools.wraps(found)
        def noted(*args: Any, **more: Any) -> Any:
            asked = inspect.signature(found).bind(*args, **more).arguments
            self._given[f"{self._path}.{name}"] |= set(asked)
            return found(*args, **more)

        return noted


def methods(client: Any) -> dict[str, set[str]]:
    """What there is to be called, and its parameters."""
    return {
        f"{part}.{name}": set(inspect.signature(method).parameters) - EVERYWHERE
        for part in PARTS
        for name, method in inspect.getmembers(getattr(client, part), callable)
        if not name.startswith("_") and name != "http"
    }


@pytest.fixture
async def given() -> dict[str, set[str]]:
    return defaultdict(set)


@pytest.fixture
async def sdk(database_url: str, given: dict[str, set[str]]) -> AsyncIterator[Any]:
    store = PostgresStore(database_url)
    behind = service(store, notices=Quiet())
    async with served(behind.app) as url, worker(behind), get_client(url=url) as client:
        yield Noting(client, given)
    await store.close()


async def test_every_method_and_parameter_works(sdk: Any, given: dict[str, set[str]]) -> None:
    for part in (assistants, threads, states, runs, ends_of_runs, crons, store):
        await part(sdk)

    wanted = methods(get_client())
    for name, parameters in sorted(wanted.items()):
        print(f"{name}({', '.join(sorted(given[name] & parameters))})")
    assert {name: wanted[name] - given[name] for name in wanted if wanted[name] - given[name]} == {}
    twins = methods(get_sync_client())
    assert {name: sorted(of) for name, of in twins.items()} == {
        name: sorted(of) for name, of in wanted.items()
    }


async def assistants(sdk: Any) -> None:
    about: Any = {
        "config": {"recursion_limit": 9},
        "context": {"k": 1},
        "metadata": {"team": "ops"},
        "description": "made here",
    }
    assistant_id = str(uuid4())
    for if_exists in ("raise", "do_nothing"):
        made = await sdk.assistants.create(
            "steps", assistant_id=assistant_id, if_exists=if_exists, name="one", **about
        )
    assert (made["assistant_id"], made["version"], made["context"]) == (assistant_id, 1, {"k": 1})
    changed = await sdk.assistants.update(assistant_id, graph_id="nests", name="two", **about)
    assert (changed["graph_id"], changed["version"]) == ("nests", 2)
    which: Any = {"metadata": {"team": "ops"}, "graph_id": "nests", "name": "tw"}
    page: Any = {"limit": 1, "offset": 0, "sort_by": "name", "sort_order": "asc"}
    whole = await sdk.assistants.search(**which, **page, response_format="object")
    assert [one["name"] for one in whole["assistants"]] == ["two"]
    assert await sdk.assistants.search(**which, select=["name"]) == [{"name": "two"}]
    assert await sdk.assistants.count(**which) == 1
    versions = await sdk.assistants.get_versions(
        assistant_id, metadata={"team": "ops"}, limit=1, offset=1
    )
    assert [one["version"] for one in versions] == [1]
    assert len((await sdk.assistants.get_graph(assistant_id, xray=True))["nodes"]) == 5
    schemas = await sdk.assistants.get_schemas(assistant_id)
    assert "log" in schemas["input_schema"]["properties"]
    inner = await sdk.assistants.get_subgraphs(assistant_id, namespace="inner", recurse=True)
    assert list(inner) == ["inner"]
    assert (await sdk.assistants.set_latest(assistant_id, 1))["name"] == "one"
    assert (await sdk.assistants.get(assistant_id))["graph_id"] == "steps"
    await sdk.assistants.delete(assistant_id, delete_threads=True)
    assert await sdk.assistants.count(name="one") == 0


async def threads(sdk: Any) -> None:
    thread_id = str(uuid4())
    told = {"updates": [{"values": INPUT, "as_node": "a"}]}
    for if_exists in ("raise", "do_nothing"):
        made = await sdk.threads.create(
            metadata={"n": 1},
            thread_id=thread_id,
            if_exists=if_exists,
            supersteps=[told],
            graph_id="steps",
            ttl={"ttl": 600, "strategy": "delete"},
        )
    assert (made["thread_id"], made["values"]) == (thread_id, INPUT)
    assert (await sdk.threads.get(thread_id, include=["ttl"]))["ttl"]["ttl_minutes"] == 600
    await sdk.threads.update(thread_id, metadata={"m": 2}, ttl=900, return_minimal=True)
    which: Any = {"metadata": {"n": 1, "m": 2}, "values": INPUT, "status": made["status"]}
    assert await sdk.threads.count(**which) == 1
    (found,) = await sdk.threads.search(
        **which,
        ids=[thread_id, str(uuid4())],
        limit=5,
        offset=0,
        sort_by="state_updated_at",
        sort_order="asc",
        select=["thread_id"],
        extract={"first": "values.log[0]"},
    )
    assert found == {"thread_id": thread_id, "extracted": {"first": "x"}}
    copied = await sdk.threads.copy(thread_id)
    assert copied["values"] == INPUT
    pruned = await sdk.threads.prune([copied["thread_id"]], strategy="keep_latest")
    assert pruned == {"pruned_count": 1}
    await sdk.threads.delete(copied["thread_id"])
    assert await sdk.threads.count(metadata={"n": 1}) == 1


async def states(sdk: Any) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    assert await sdk.runs.wait(thread_id, "steps", input=INPUT) == DONE
    history = await sdk.threads.get_history(thread_id, limit=9, metadata={"source": "loop"})
    past, oldest = history[1], history[-1]
    before = await sdk.threads.get_history(thread_id, before=past["checkpoint"], select=["values"])
    assert len(before) == 3
    inner = await sdk.threads.get_history(thread_id, checkpoint=past["checkpoint"], limit=2)
    assert inner
    seen = await sdk.threads.get_state(thread_id, checkpoint=past["checkpoint"], subgraphs=True)
    by_id = await sdk.threads.get_state(
        thread_id, checkpoint_id=past["checkpoint"]["checkpoint_id"], select=["values"]
    )
    assert by_id["values"] == seen["values"] == {"log": ["x", "a", "b"]}
    values = {"log": ["edited"]}
    await sdk.threads.update_state(thread_id, values, as_node="b", checkpoint=oldest["checkpoint"])
    await sdk.threads.update_state(
        thread_id, values, checkpoint_id=past["checkpoint"]["checkpoint_id"]
    )
    assert (await sdk.threads.get_state(thread_id))["values"]["log"][-1] == "edited"
    stream = await sdk.threads.join_stream(thread_id, last_event_id="-1", stream_mode="lifecycle")
    async for part in stream:
        assert part.event == "metadata"
        break
    await stream.aclose()
    new = str(uuid4())
    async with sdk.threads.stream(
        new, assistant_id="steps", run_start_timeout=30.0, transport="sse"
    ) as thread:
        await thread.run.start(input=INPUT)
        assert await thread.output == DONE


def asked(**more: Any) -> dict[str, Any]:
    """A run with all that any of them may be given together."""
    return {
        "metadata": {"by": "test"},
        "config": {"tags": ["t"], "configurable": {"k": 1}},
        "context": {"k": 2},
        "interrupt_before": [],
        "interrupt_after": ["c"],
        "webhook": HOOK,
        "multitask_strategy": "enqueue",
        "after_seconds": 0,
        "langsmith_tracing": {"project_name": "p"},
        "on_run_created": lambda made: None,
        "durability": "sync",
        **more,
    }


async def outcome(result: Any) -> Any:
    """Of a run that was awaited or followed: the last state it tells."""
    if not hasattr(result, "__aiter__"):
        return await result
    parts = [part async for part in result]
    states = [
        p["data"] if isinstance(p, dict) else p.data for p in parts if event_of(p) == "values"
    ]
    return states[-1]


def event_of(part: Any) -> str:
    return str(part["type"] if isinstance(part, dict) else part.event)


async def runs(sdk: Any) -> None:
    def start(*args: Any, **more: Any) -> Any:
        return joined(sdk, *args, **more)

    line = {"on_disconnect": "continue"}
    told = {"stream_mode": ["values"], "stream_subgraphs": False, "stream_resumable": True}
    ways: tuple[tuple[Callable[..., Any], dict[str, Any]], ...] = (
        (start, told),
        (sdk.runs.wait, {**line, "raise_error": True}),
        (sdk.runs.stream, {**line, **told, "feedback_keys": ["k"], "version": "v2"}),
    )
    for way, its in ways:
        thread_id = str(uuid4())
        first = asked(input=INPUT, if_not_exists="create", **its)
        assert await outcome(way(thread_id, "steps", **first)) == DONE
        (_, past, *_) = await sdk.threads.get_history(thread_id)
        forked = {"checkpoint_id": past["checkpoint"]["checkpoint_id"], "input": None}
        assert await outcome(way(thread_id, "steps", **forked)) == DONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            forked = {"checkpoint": past["checkpoint"], "checkpoint_during": True, "input": None}
            assert await outcome(way(thread_id, "steps", **forked)) == DONE
        asks = await sdk.threads.create()
        await sdk.runs.wait(asks["thread_id"], "asks", input=INPUT)
        answer = {"command": {"resume": "yes"}, "strict_resume": True}
        ended = await outcome(way(asks["thread_id"], "asks", **answer))
        assert ended == {"log": ["x", "a", "answered yes", "c"]}
        alone = {"input": INPUT, "on_completion": "keep"}
        assert await outcome(way(None, "steps", **alone)) == DONE


async def joined(sdk: Any, *args: Any, **more: Any) -> Any:
    run = await sdk.runs.create(*args, **more)
    return await sdk.runs.join(run["thread_id"], run["run_id"])


async def ends_of_runs(sdk: Any) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    first, second, third = [
        await sdk.runs.create(thread_id, "steps", input=INPUT, after_seconds=600) for _ in range(3)
    ]
    await sdk.runs.cancel(thread_id, third["run_id"], wait=True, action="rollback")
    await sdk.runs.cancel_many(thread_id=thread_id, run_ids=[second["run_id"]], action="interrupt")
    await sdk.runs.cancel_many(status="pending")
    (newest,) = await sdk.runs.list(
        thread_id, limit=1, offset=0, status="interrupted", select=["run_id", "status"]
    )
    assert newest == {"run_id": second["run_id"], "status": "interrupted"}
    assert (await sdk.runs.get(thread_id, first["run_id"]))["status"] == "interrupted"
    await sdk.runs.delete(thread_id, first["run_id"])
    assert len(await sdk.runs.list(thread_id)) == 1
    (alone,) = await sdk.runs.create_batch(
        [{"assistant_id": "steps", "input": INPUT, "stream_mode": ["values", "updates"]}]
    )
    where = alone["thread_id"], alone["run_id"]
    await sdk.runs.join(*where)
    rest = sdk.runs.join_stream(
        *where, cancel_on_disconnect=False, stream_mode=["values"], last_event_id="-1"
    )
    assert [part.event async for part in rest] == ["metadata", *["values"] * 4, "end"]


async def crons(sdk: Any) -> None:
    its: Any = {
        "schedule": "0 0 1 1 *",
        "input": INPUT,
        "metadata": {"m": 1},
        "config": {"tags": ["t"]},
        "context": {"k": 1},
        "interrupt_before": [],
        "interrupt_after": ["c"],
        "webhook": HOOK,
        "end_time": LATER,
        "enabled": True,
        "timezone": "Europe/Berlin",
        "stream_mode": ["values"],
        "stream_subgraphs": False,
        "stream_resumable": True,
        "durability": "sync",
    }
    once: Any = {**its, "multitask_strategy": "enqueue"}
    thread_id = (await sdk.threads.create())["thread_id"]
    old = {"checkpoint_during": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = await sdk.crons.create("steps", on_run_completed="keep", **once, **old)
        of_thread = await sdk.crons.create_for_thread(thread_id, "steps", **once, **old)
    assert (made["timezone"], of_thread["thread_id"]) == ("Europe/Berlin", thread_id)
    changed = await sdk.crons.update(
        made["cron_id"], **{**its, "enabled": False, "on_run_completed": "delete"}
    )
    assert (changed["enabled"], changed["next_run_date"]) == (False, None)
    which: Any = {"assistant_id": "steps", "thread_id": thread_id, "metadata": {"m": 1}}
    page: Any = {"limit": 5, "offset": 0, "sort_by": "created_at", "sort_order": "desc"}
    found = await sdk.crons.search(**which, enabled=True, **page, select=["cron_id"])
    assert found == [{"cron_id": of_thread["cron_id"]}]
    assert await sdk.crons.count(**which) == 1
    await sdk.crons.delete(made["cron_id"])
    assert await sdk.crons.count() == 1


async def store(sdk: Any) -> None:
    space = ["users", "ann"]
    await sdk.store.put_item(space, key="k", value={"food": "soup"}, index=False, ttl=60)
    assert (await sdk.store.get_item(space, key="k", refresh_ttl=True))["value"]["food"] == "soup"
    found = await sdk.store.search_items(
        ["users"], filter={"food": "soup"}, limit=5, offset=0, query="what", refresh_ttl=False
    )
    assert [item["key"] for item in found["items"]] == ["k"]
    named = await sdk.store.list_namespaces(
        prefix=["users"], suffix=["ann"], max_depth=2, limit=5, offset=0
    )
    assert named == {"namespaces": [space]}
    await sdk.store.delete_item(space, key="k")
    assert (await sdk.store.search_items(["users"]))["items"] == []
