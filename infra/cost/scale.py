"""`baton scale`: what saturates first, calculated from what a step was measured to take."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

FIGURES = Path(__file__).with_name("measured.json")
DOCUMENT = Path("docs") / "scale.md"
BEGIN, END = "<!-- baton scale -->\n", "<!-- end -->\n"
WAIT_SECONDS = 25  # a client that waits asks again
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Shape:
    """What the steps are like."""

    model_seconds: float = 5  # a step waits for its model
    steps_per_run: float = 5
    state_kb: float = 100  # of a thread, read where no environment remembers it
    batch: float = 1  # steps that wait together in one invocation


@cache
def measured() -> dict[str, Any]:
    """The whole file, with its date."""
    found: dict[str, Any] = json.loads(FIGURES.read_text())
    return found


def demand(rate: float, shape: Shape) -> dict[str, float]:
    """What so many steps a second take."""
    of = {name: figure["value"] for name, figure in measured()["step"].items()}
    at_once = rate * (shape.model_seconds + of["machinery_ms"] / 1000)
    runs = rate / shape.steps_per_run
    run_seconds = shape.steps_per_run * (shape.model_seconds + of["machinery_ms"] / 1000)
    held = of["round_trips"] * of["trip_ms"] + of["postgres_ms"]
    return {
        "at_once": at_once,
        "invocations": at_once / shape.batch,
        "postgres_cores": rate * of["postgres_ms"] / 1000,
        "function_cores": rate * of["function_ms"] / 1000,
        "connections": rate * held / 1000,
        "megabytes": rate * (of["sent_kb"] + shape.state_kb) / 1000,
        "sqs": rate * of["sqs_requests"],
        "requests": runs * (1 + run_seconds / WAIT_SECONDS),
        "rows": rate * of["rows"] * DAY / 1e6,
        "gigabytes": rate * of["stored_kb"] * DAY / 1e6,
    }


WORDS = {
    "at_once": "steps at once",
    "invocations": "invocations at once",
    "postgres_cores": "Postgres, cores",
    "function_cores": "functions, cores at work",
    "connections": "connections in use",
    "megabytes": "Postgres, MB a second if no environment remembers a thread",
    "sqs": "requests to SQS a second",
    "requests": "requests to the API a second, with a client waiting for each run",
    "rows": "rows added a day, millions",
    "gigabytes": "GB added a day, with all history kept",
}


def lines(rates: Sequence[float], shape: Shape) -> Iterator[str]:
    """Three tables in Markdown: a step, what steps a second take, and how full that makes what."""
    yield f"Measured until {measured()['as_of']} on {measured()['machine']}."
    yield from ("", "| a step takes | | from |", "|---|--:|---|")
    for figure in measured()["step"].values():
        yield f"| {figure['what']} | {figure['value']:g} | {figure['from']} |"
    taken = [demand(rate, shape) for rate in rates]
    yield from ("", _row("steps a second", *(f"{rate:,g}" for rate in rates)))
    yield "|---|" + "--:|" * len(rates)
    for name, words in WORDS.items():
        yield _row(words, *(_number(of[name]) for of in taken))
    yield from ("", _row("how full", *(f"{rate:,g}" for rate in rates), "turn"))
    yield "|---|" + "--:|" * len(rates) + "---|"
    limits = measured()["limits"]
    for limit in sorted(limits, key=lambda one: -taken[-1][one["of"]] / one["limit"]):
        used = (f"{100 * of[limit['of']] / limit['limit']:,.0f} %" for of in taken)
        yield _row(limit["what"], *used, limit["turn"])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


@click.command()
@click.option(
    "--steps-per-second", "rates", type=click.FloatRange(0), multiple=True, default=(1, 100, 10_000)
)
@click.option("--model-seconds", type=click.FloatRange(0), default=5, show_default=True)
@click.option("--steps-per-run", type=click.FloatRange(min=1), default=5, show_default=True)
@click.option(
    "--state-kb", type=click.FloatRange(0), default=100, show_default=True, help="Of a thread."
)
@click.option("--batch", type=click.FloatRange(1, 10), default=1, help="Steps that wait at once.")
@click.option("--write", is_flag=True, help="Into docs/scale.md, with no other option.")
def scale(rates: Sequence[float], write: bool, **shape: float) -> None:
    """Print what saturates first at so many steps a second, and what to turn."""
    said = "".join(f"{line}\n" for line in lines(rates, Shape(**shape)))
    if write:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}{said}{END}{rest.partition(END)[2]}")
    else:
        click.echo(said, nl=False)
