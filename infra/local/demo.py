"""`baton demo`: a research run over HTTP whose worker is killed on the way."""

import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from graph.agents.documents import index_folder
from infra.local.stack import Options, Stack
from infra.local.workers import Worker

PROJECT = Path(__file__).parents[2] / "langgraph.json"
DOCUMENTS = Path(__file__).parent / "documents"
QUESTION = "How did the Fresnel lens change lighthouses, and what did keepers do in fog?"
STEP_TIMEOUT = 4.0  # seconds; a dead worker's step is free again when its lease ends
MODEL_LATENCY = 0.4  # seconds that the offline model takes, as a model takes some
KILL_AFTER = 2  # steps


@dataclass
class Follower:
    """Prints each step of a thread as it is taken, from the workers' logs; says when to kill."""

    console: Console
    thread_id: str
    stack: Stack | None = None
    taken: int = 0
    time_to_kill: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, who: str, line: str) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            return
        if not isinstance(record, dict) or record.get("message") != "step":
            return
        if record["thread_id"] != self.thread_id:  # a run that an earlier demo left behind
            return
        self.taken += 1
        nodes = ", ".join(record["tasks"])
        workers = self.stack.workers if self.stack else []
        pid = next((worker.pid for worker in workers if worker.name == who), "gone")
        self.console.print(
            f"  step {record['seq']}  [bold]{escape(nodes):<8}[/bold] {record['outcome']:<5}"
            f" {record['ms']:>6.0f} ms  process {pid}, invocation {record['invocation'][:8]}"
        )
        if self.taken == KILL_AFTER:
            self.time_to_kill.set()


async def show(options: Options, *, documents: Path, question: str, console: Console) -> int:
    """Returns the exit status: 0 when the report was written in spite of the kill."""
    began = time.monotonic()
    follower = Follower(console, str(uuid4()))
    pace = replace(options.pace, step_timeout=STEP_TIMEOUT, batch_size=1)
    options = replace(options, pace=pace, offline_latency=MODEL_LATENCY)
    async with Stack(options, say=follower.hear) as stack:
        follower.stack = stack
        console.print(f"The stack is up after {time.monotonic() - began:.1f} s: API {stack.url}")
        counts = await index_folder(stack.database_url, documents)
        known = counts.added + counts.changed + counts.unchanged
        console.print(f"Indexed {known} documents of {documents.name}/ in Postgres")
        console.print(f"Asking the agent [bold]research[/bold]: {escape(question)}\n")
        client = get_client(url=stack.url)
        killer = asyncio.create_task(kill_one(stack, follower, console))
        thread = await client.threads.create(thread_id=follower.thread_id)
        run = await client.runs.create(
            thread["thread_id"], "research", input={"question": question}
        )
        values: Any = await client.runs.join(thread["thread_id"], run["run_id"])
        killer.cancel()
        await tell(client, thread["thread_id"], console)
        if stack.offline_model_url:
            console.print(
                "No ANTHROPIC_API_KEY is set: an offline stand-in answered for the model."
            )
    if not isinstance(values, dict) or not values.get("report"):
        console.print(f"[red]The run ended without a report:[/red] {escape(str(values))}")
        return 1
    console.rule("The report")
    console.print(Markdown(values["report"]))
    console.print(f"\nDone in {time.monotonic() - began:.1f} s. Data stays in {options.data}.")
    return 0


async def kill_one(stack: Stack, follower: Follower, console: Console) -> None:
    """SIGKILL a worker in the middle of the next step that lasts long enough to have a middle."""
    await follower.time_to_kill.wait()
    while (victim := await long_busy(stack, follower.thread_id)) is None:
        await asyncio.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    console.print(
        f"  [red]kill -9 {victim.pid}[/red]: it dies in the middle of a step, whose lease ends"
        f" in at most {STEP_TIMEOUT:.0f} s"
    )


async def long_busy(stack: Stack, thread_id: str) -> Worker | None:
    """A worker that is still at the thread's step it was at half a model's answer ago."""
    doing = {worker.pid: worker.invocation for worker in stack.workers}
    await asyncio.sleep(MODEL_LATENCY / 2)
    for worker in stack.workers:
        now = worker.invocation
        if now and now is doing.get(worker.pid) and thread_id in json.dumps(now.event):
            return worker
    return None


async def tell(client: LangGraphClient, thread_id: str, console: Console) -> None:
    """What the thread's own history says about who made it."""
    history = await client.threads.get_history(thread_id, limit=100)
    metadata: list[Any] = [state["metadata"] for state in history]
    steps = [m["step"] for m in metadata]
    lost = len(set(range(min(steps), max(steps))) - set(steps))
    console.print(
        f"\nThe thread went on in another process. Its history: {len(steps)} checkpoints by"
        f" {len({m['invocation'] for m in metadata})} invocations, {lost} steps lost,"
        f" {len(steps) - len(set(steps))} taken twice."
    )
