"""The unmodified SDK follows runs: on open lines, in segments, through broken connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client

from graph.adapters.postgres import PostgresStore
from tests.fixtures.service import Service, service, worker
from tests.integration.test_sdk import served

INPUT = {"log": ["x"]}

async def test_x(database_url):
    store = PostgresStore(database_url)
    behind = service(store)
    async with served(behind.app) as url, worker(behind), get_client(url=url) as sdk:
        t = (await sdk.threads.create())["thread_id"]
        import time
        t0=time.time()
        async for part in sdk.runs.stream(t, "steps", input=INPUT, stream_mode=["values","updates"]):
            print(round(time.time()-t0,3), part)
        r = RemoteGraph("steps", client=sdk)
        async for x in r.astream(INPUT, {"configurable":{"thread_id":t}}): print(x)
        print(await r.ainvoke(INPUT, {"configurable":{"thread_id":t}}))
        async with httpx.AsyncClient() as c:
            a = await c.post(f"{url}/threads/{t}/runs/stream", json={"assistant_id":"chat","input":{"messages":["hi"]},"stream_mode":["messages","custom"]})
            print(a.headers, a.text)
    await store.close()
