"""`make bench`: measure, print, and keep the last results in docs/benchmarks.md."""

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

import click
from rich.console import Console

from tests.benchmarks.bench import ROOT, Bench, bench
from tests.benchmarks.machine import described, facts
from tests.benchmarks.report import Result, to_console, to_json, to_markdown, write

NAMES = ("step", "records", "http", "first_token", "imports", "billed")
WIDTH = 130  # of what is written to a file or a pipe
DOCUMENT = ROOT / "docs" / "benchmarks.md"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--quick", is_flag=True, help="Fewer rounds; docs/benchmarks.md stays as it is.")
def main(names: tuple[str, ...], as_json: bool, quick: bool) -> None:
    """Run the benchmarks, all of them unless NAMES are given."""
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console.width = WIDTH
    found: list[dict[str, Any]] = []
    with bench(quick=quick) as given:
        for name in names or NAMES:
            machine = facts(given.server.url("postgres"))
            result = asyncio.run(_measure(name, given))
            to_console(result, console)
            console.print(described(machine), style="dim")
            if not quick:
                write(to_markdown(result, described(machine)), DOCUMENT, order=NAMES)
            found.append(to_json(result, machine))
    if as_json:
        json.dump(found, sys.stdout, indent=1)


async def _measure(name: str, given: Bench) -> Result:
    result: Result = await import_module(f"tests.benchmarks.{name}").measure(given)
    return result


if __name__ == "__main__":
    main()
