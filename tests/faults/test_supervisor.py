"""The supervisor's team under workers that are killed: every member works once, and it answers."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph_sdk import get_client

from graph.agents.documents import index_folder
from infra.local.event_source import Pace
from infra.local.stack import Options, Stack

pytestmark = pytest.mark.fault

PROJECT = Path(__file__).parents[2] / "langgraph.json"
MODEL = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "BATON_MODEL")
KILLS = 2
PATIENCE = 240.0
QUESTION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "How does a Fresnel lens bend light?"}]
}


async def test_a_team_whose_workers_are_killed_at_work_answers_all_the_same(
    database_url: str, direct_url: str, tmp_path: Path
) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "lens.md").write_text("# Lens\nA Fresnel lens bends light to a beam.")
    environ = {name: value for name, value in os.environ.items() if name not in MODEL}
    environ |= {"DATABASE_URL": database_url, "MIGRATION_DATABASE_URL": direct_url}
    options = Options(
        config=PROJECT,
        port=0,
        data=tmp_path / "data",
        queue="memory",
        environ={**environ, "BATON_MAX_ATTEMPTS": "1000"},
        pace=Pace(batch_size=1, step_timeout=12.0, sweep_every=2.0),
        offline_latency=0.3,  # a step lasts long enough to be killed in
    )
    async with Stack(options, say=lambda who, line: print(who, line)) as up:
        await index_folder(direct_url, tmp_path / "documents")
        async with get_client(url=up.url) as client:
            thread = (await client.threads.create())["thread_id"]
            await client.runs.create(thread, "supervisor", input=QUESTION)
            killed = await kill_at_work(up, client, thread)
            values = await ended(client, thread)
    assert killed == KILLS
    assert [found["by"] for found in values["findings"]] == ["researcher", "writer"]
    assert "beam" in values["messages"][-1]["content"]
    with psycopg.connect(direct_url) as connection:
        forks = connection.execute(
            "SELECT count(*) FROM (SELECT parent_id FROM checkpoints WHERE ns = '' AND "
            "parent_id IS NOT NULL GROUP BY thread_id, parent_id HAVING count(*) > 1) AS forked"
        ).fetchone()
    assert forks == (0,)
    print(f"\n{KILLS} SIGKILL at work: {len(values['findings'])} reports, no fork, answered")


async def kill_at_work(up: Stack, client: Any, thread: str) -> int:
    """Kill workers, each while it is busy with a step and at another step than the last one."""
    killed, give_up, before = 0, time.monotonic() + PATIENCE, None
    while killed < KILLS and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
        state = await client.threads.get_state(thread)
        now = (state["next"], len(state["values"].get("findings") or ()))
        busy = [w for w in up.workers if w.invocation and w.invocation.function == "step"]
        if busy and now != before:
            os.kill(busy[0].pid, signal.SIGKILL)
            killed, before = killed + 1, now
    return killed


async def ended(client: Any, thread: str) -> Any:
    give_up = time.monotonic() + PATIENCE
    while (await client.threads.get(thread))["status"] == "busy":
        assert time.monotonic() < give_up, "the run did not end"
        await asyncio.sleep(0.2)
    return (await client.threads.get_state(thread))["values"]
