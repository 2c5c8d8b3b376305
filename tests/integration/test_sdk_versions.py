"""What people have installed: an older SDK, in an environment of its own, and the newest."""

import asyncio
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.environments import environment
from tests.integration.test_stack import stack_on

PROGRAM = Path(__file__).parents[1] / "clients" / "sdk.py"
OLDEST = "0.3.14"
PATIENCE = 120.0  # seconds
SEEN: dict[str, Any] = {
    "assistants": {
        "names": ["counter", "yours"],
        "versions": [2, 1],
        "changed": "yours",
        "latest": "mine",
        "nodes": 3,
        "input": ["counted", "pids"],
        "count": 2,
    },
    "threads": {
        "history": 5,
        "edited": True,
        "state": [0, 2, 4, 7],
        "metadata": 1,
        "statuses": ["interrupted", "interrupted"],
        "found": 2,
        "count": 2,
    },
    "runs": {
        "streamed": ["metadata", *["values"] * 4, "end"],
        "last": [0, 2, 4],
        "joined": 6,
        "again": "end",
        "waited": [0, 2, 4],
        "batch": 2,
        "statuses": ["interrupted", "success", "success"],
        "status": "success",
    },
    "crons": {"found": 2, "of_thread": 1, "left": 0},
    "store": {
        "value": {"food": "soup"},
        "found": 1,
        "namespaces": [["users", "ann"]],
        "left": 0,
    },
}


async def test_the_calls_of_old_and_new_sdks_against_baton_dev(open_folder: Path) -> None:
    old = environment(f"langgraph-sdk-{OLDEST}", [f"langgraph-sdk=={OLDEST}"])
    async with stack_on(open_folder) as stack:
        for python, wanted in ((old, OLDEST), (sys.executable, version("langgraph-sdk"))):
            assert await seen_by(python, stack.url) == {"version": wanted, **SEEN}


async def seen_by(python: Path | str, url: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        python, PROGRAM, url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, error.decode()
    return json.loads(out)
