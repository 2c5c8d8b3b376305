"""What docs/operations.md tells to run, run as it stands there."""

import asyncio
import contextlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client

from functions.api.access.identify import ByKey
from graph.adapters.postgres import PostgresStore
from graph.runtime.keys import Keyring, new_key
from tests.fixtures.service import service
from tests.integration.test_sdk import served

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
DELETE = re.search(r"## Delete a user's data\n.*?```python\n(.*?)```", TEXT, re.DOTALL)
EVERY_MINUTE = "* * * * *"
USERS = ["ann", "bob"]


@pytest.fixture(params=["owners of their own", "one owner for all"])
def own(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "owners of their own")


async def test_one_users_data_are_deleted_and_nobody_elses(database_url: str, own: bool) -> None:
    assert DELETE
    program = DELETE[1]
    if not own:
        program = re.sub(r"mine = \{\}", 'mine = {"metadata": {"user": "ann"}}', program)
        program = re.sub(r"client\.store\.list_namespaces\(.*?\)\[\S+\]", '[["ann"]]', program)
    store = PostgresStore(database_url)
    keys = {user: await a_key(store, user if own else "all") for user in USERS}
    behind = service(store, identify=ByKey(Keyring(store)))
    async with served(behind.app) as url:
        with contextlib.ExitStack() as open_clients:
            clients = {
                user: open_clients.enter_context(get_sync_client(url=url, api_key=key))
                for user, key in keys.items()
            }
            for user, client in clients.items():
                await asyncio.to_thread(fill, client, user)
            await asyncio.to_thread(exec, program, {"client": clients["ann"]})
            left = {user: await asyncio.to_thread(kept, clients[user], user) for user in USERS}
    await store.close()

    assert left == {"ann": (0, 0, 0), "bob": (1, 1, 1)}


async def a_key(store: PostgresStore, owner: str) -> str:
    text, key = new_key(owner, lasts=timedelta(days=1))
    await store.add_key(key)
    return text


def fill(client: Any, user: str) -> None:
    thread = client.threads.create(metadata={"user": user})
    client.runs.create(thread["thread_id"], "steps", input={"log": [user]})
    client.crons.create("steps", schedule=EVERY_MINUTE, input={}, metadata={"user": user})
    client.store.put_item([user], "likes", {"text": "tea"})


def kept(client: Any, user: str) -> tuple[int, int, int]:
    """How many threads, crons and items of the user there are."""
    mine = {"metadata": {"user": user}}
    threads, crons = client.threads.search(**mine), client.crons.search(**mine)
    return len(threads), len(crons), len(client.store.search_items([user])["items"])
