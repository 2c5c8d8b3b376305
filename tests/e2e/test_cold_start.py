"""What a step costs in the emulator, from the built artifact, for a graph that calls no model."""

import time
from statistics import median
from typing import Any

from infra.local.events import sqs_event
from tests.e2e.deployment import Around, Deployment, deployment
from tests.e2e.emulator import Emulator
from tests.e2e.figures import Figures

TIMES = 10
GOAL = 1.0  # seconds, on an idle machine; printed
WORST = 6.0  # seconds, on a busy one; asserted
BARE = "bare.handler"


async def test_the_cold_start_of_a_step(around: Around, figures: Figures) -> None:
    """From the invocation that finds no environment to its answer: imports, connection, step."""
    took = []
    async with deployment(around, say=unheard, steps=0) as it:
        for event in [await a_step(it) for _ in range(TIMES)]:
            environment = await it.functions.start("step")
            took.append(await timed(environment, event))
            await environment.child.stop()

    spread = f"{median(took):.2f} s ({min(took):.2f} to {max(took):.2f})"
    figures.add(
        f"cold start of a step, median of {TIMES}", spread, f"{GOAL:.1f} s on an idle machine"
    )
    assert median(took) < WORST


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
    assert answer in (None, {"batchItemFailures": []}), answer
    return took


def unheard(who: str, line: str) -> None:
    """What the emulators say would bury the numbers."""
