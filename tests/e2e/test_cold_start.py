"""What a cold start costs in the emulator, from the built artifact; steps call no model."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from infra.local.events import sqs_event
from tests.e2e.deployment import Around, Deployment, deployment
from tests.e2e.emulator import Emulator
from tests.e2e.figures import Figures
from tests.fixtures.events import rest_event

TIMES = 10
GOAL = 1.0  # seconds, on an idle machine; printed
WORST = 4.0  # seconds of processor, which a busy machine hardly changes; asserted
BARE = "bare.handler"


async def test_the_cold_start_of_a_step(around: Around, figures: Figures) -> None:
    """From the invocation that finds no environment to its answer: imports, connection, step."""
    async with deployment(around, say=unheard, steps=0) as it:
        took, worked = await cold(it, "step", [await a_step(it) for _ in range(TIMES)])

    figures.add(f"cold start of a step, median of {TIMES}", spread(took), f"{GOAL} s, machine idle")
    figures.add("of which processor, median", f"{median(worked):.2f} s")
    assert 0 < median(worked) < WORST


@pytest.mark.parametrize(("method", "path"), [("GET", "/ok"), ("POST", "/threads")], ids=" ".join)
async def test_the_cold_start_of_the_api(
    around: Around, figures: Figures, method: str, path: str
) -> None:
    """The first request that an environment answers; a thread takes the database, too."""
    event = rest_event(method, path, body={} if method == "POST" else None)
    async with deployment(around, say=unheard, steps=0) as it:
        took, worked = await cold(it, "api", [event] * TIMES)

    figures.add(f"cold {method} {path}, median of {TIMES}", spread(took))
    figures.add("of which processor, median", f"{median(worked):.2f} s")
    assert 0 < median(worked) < WORST


async def test_what_a_warm_step_adds_to_a_bare_handler(around: Around, figures: Figures) -> None:
    async with deployment(around, say=unheard, steps=0) as it:
        events = [await a_step(it) for _ in range(TIMES + 1)]
        step = await it.functions.start("step")
        first, *warm = [await timed(step, event) for event in events]
        folder = around.folder / "bare"
        folder.mkdir()
        (folder / "bare.py").write_text("def handler(event, context):\n    return None\n")
        bare = await it.functions.start("step", handler=BARE, PYTHONPATH=str(folder))
        _, *nothing = [await timed(bare, event) for event in events]

    figures.add(f"warm step, median of {TIMES}", milliseconds(median(warm)))
    figures.add(f"bare handler, median of {TIMES}", milliseconds(median(nothing)))
    figures.add("so a step adds", milliseconds(median(warm) - median(nothing)))
    assert median(nothing) < median(warm) < first


async def cold(
    it: Deployment, function: str, events: Sequence[dict[str, Any]]
) -> tuple[list[float], list[float]]:
    """Seconds, and seconds of processor, until a new environment has answered, for each event."""
    took, worked = [], []
    for event in events:
        environment = await it.functions.start(function)
        took.append(await timed(environment, event))
        worked.append(processor_seconds(environment.child.pid))
        await environment.child.stop()
    return took, worked


def processor_seconds(leader: int) -> float:
    """What the processes of a session have used so far: the emulator and its runtime."""
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")


def spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


async def a_step(it: Deployment) -> dict[str, Any]:
    """The event that rings for the first step of a new run."""
    await it.sdk.runs.create(await it.thread(), "steps", input={"log": ["x"]})
    messages = await it.queue.receive(1)
    await it.queue.delete(messages)
    return sqs_event(messages, it.queue.arn)


async def timed(environment: Emulator, event: dict[str, Any]) -> float:
    """Seconds until the handler has answered, which it must do without a failure."""
    started = time.perf_counter()
    answer = await environment.invoke(event)
    took = time.perf_counter() - started
    assert answer in (None, {"batchItemFailures": []}) or answer["statusCode"] == 200, answer
    return took


def unheard(who: str, line: str) -> None:
    """What the emulators say would bury the numbers."""
