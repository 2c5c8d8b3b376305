"""The Python SDK as people use it, of whatever version this interpreter has.

Prints what it saw as JSON: python sdk.py URL
"""

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from langgraph_sdk import get_client

INPUT: dict[str, Any] = {"counted": [], "pids": []}


async def assistants(client: Any) -> dict[str, Any]:
    made = await client.assistants.create("counter", name="mine", metadata={"a": 1})
    changed = await client.assistants.update(made["assistant_id"], name="yours")
    found = await client.assistants.search(graph_id="counter", limit=5)
    versions = await client.assistants.get_versions(made["assistant_id"])
    await client.assistants.set_latest(made["assistant_id"], 1)
    latest = await client.assistants.get(made["assistant_id"])
    graph = await client.assistants.get_graph("counter")
    schemas = await client.assistants.get_schemas("counter")
    count = await client.assistants.count(graph_id="counter")
    await client.assistants.delete(made["assistant_id"])
    return {
        "names": sorted(one["name"] for one in found),
        "versions": [one["version"] for one in versions],
        "changed": changed["name"],
        "latest": latest["name"],
        "nodes": len(graph["nodes"]),
        "input": sorted(schemas["input_schema"]["properties"]),
        "count": count,
    }


async def threads(client: Any) -> dict[str, Any]:
    user = {"user": str(uuid4())}
    made = await client.threads.create(metadata=user)
    thread_id = made["thread_id"]
    await client.runs.wait(thread_id, "counter", input=INPUT)
    history = await client.threads.get_history(thread_id, limit=100)
    edited = await client.threads.update_state(thread_id, {"counted": [7]})
    state = await client.threads.get_state(thread_id)
    copied = await client.threads.copy(thread_id)
    updated = await client.threads.update(thread_id, metadata={"n": 1})
    found = await client.threads.search(metadata=user)
    count = await client.threads.count(metadata=user)
    await client.threads.delete(copied["thread_id"])
    return {
        "history": len(history),
        "edited": edited["checkpoint"]["checkpoint_id"] == state["checkpoint"]["checkpoint_id"],
        "state": state["values"]["counted"],
        "metadata": updated["metadata"]["n"],
        "found": len(found),
        "count": count,
        "statuses": sorted(one["status"] for one in found),
    }


async def runs(client: Any) -> dict[str, Any]:
    thread_id = (await client.threads.create())["thread_id"]
    stream = client.runs.stream(thread_id, "counter", input=INPUT, stream_mode=["values"])
    parts = [part async for part in stream]
    run = await client.runs.create(
        thread_id, "counter", input={}, stream_mode="values", stream_resumable=True
    )
    joined = await client.runs.join(thread_id, run["run_id"])
    again = [part async for part in client.runs.join_stream(thread_id, run["run_id"])]
    waited = await client.runs.wait(None, "counter", input=INPUT)
    later = await client.runs.create(thread_id, "counter", input={}, after_seconds=600)
    await client.runs.cancel(thread_id, later["run_id"], wait=True)
    batch = await client.runs.create_batch([{"assistant_id": "counter", "input": INPUT}] * 2)
    listed = await client.runs.list(thread_id)
    await client.runs.delete(thread_id, later["run_id"])
    return {
        "streamed": [part.event for part in parts],
        "last": [part.data["counted"] for part in parts if part.event == "values"][-1],
        "joined": len(joined["counted"]),
        "again": [part.event for part in again][-1],
        "waited": waited["counted"],
        "batch": len(batch),
        "statuses": [one["status"] for one in listed],
        "status": (await client.runs.get(thread_id, run["run_id"]))["status"],
    }


async def crons(client: Any) -> dict[str, Any]:
    thread_id = (await client.threads.create())["thread_id"]
    made = await client.crons.create("counter", schedule="0 0 1 1 *", input=INPUT)
    await client.crons.create_for_thread(thread_id, "counter", schedule="0 0 1 1 *", input=INPUT)
    found = await client.crons.search(assistant_id=made["assistant_id"])
    of_thread = await client.crons.search(thread_id=thread_id)
    for one in found:
        await client.crons.delete(one["cron_id"])
    return {"found": len(found), "of_thread": len(of_thread), "left": await client.crons.count()}


async def store(client: Any) -> dict[str, Any]:
    space = ["users", "ann"]
    await client.store.put_item(space, key="likes", value={"food": "soup"})
    item = await client.store.get_item(space, key="likes")
    found = await client.store.search_items(["users"], filter={"food": "soup"})
    spaces = await client.store.list_namespaces(prefix=["users"])
    await client.store.delete_item(space, key="likes")
    left = await client.store.search_items(["users"])
    return {
        "value": item["value"],
        "found": len(found["items"]),
        "namespaces": spaces["namespaces"],
        "left": len(left["items"]),
    }


async def main(url: str) -> None:
    seen: dict[str, Any] = {"version": version("langgraph-sdk")}
    client = get_client(url=url)
    for part in (assistants, threads, runs, crons, store):
        seen[part.__name__] = await part(client)
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
