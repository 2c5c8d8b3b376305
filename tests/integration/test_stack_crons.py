"""Crons and the long-term store under `baton dev`, as a project configures them."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
from langgraph_sdk import get_client

from infra.local.event_source import Pace
from tests.integration.test_stack import stack_on

NOTEBOOK = Path(__file__).parents[1] / "fixtures" / "projects" / "notebook" / "langgraph.json"
UP = 60.0


async def written(client: Any) -> list[str]:
    """The notes, nearest in meaning to a ship first, once there are three."""
    while True:
        found = await client.store.search_items(["notes"], query="a ship")
        if len(found["items"]) == 3:
            return [item["key"] for item in found["items"]]
        await asyncio.sleep(0.1)


async def test_the_local_sweep_fires_crons_whose_graph_keeps_what_is_found_by_meaning(
    open_folder: Path,
) -> None:
    async with (
        stack_on(open_folder, config=NOTEBOOK, pace=Pace(sweep_every=0.2)) as stack,
        get_client(url=stack.url) as client,
    ):
        for text in ("bread", "a boat", "a cake"):
            await client.crons.create("notebook", schedule="0 0 1 1 *", input={"text": text})
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("UPDATE crons SET next_run_date = now()")

        async with asyncio.timeout(UP):
            keys = await written(client)
        threads = await client.threads.search(metadata={"stateless": True})

    assert (keys[0], sorted(keys)) == ("a boat", ["a boat", "a cake", "bread"])
    assert len(threads) == 3
