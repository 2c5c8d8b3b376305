"""The command line: `baton dev`."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from infra.cost.command import cost
from infra.cost.scale import scale
from infra.local.children import CannotStart
from infra.local.console import Terminal
from infra.local.demo import DOCUMENTS, PROJECT, QUESTION, show
from infra.local.encryption import encryption
from infra.local.event_source import Pace
from infra.local.import_command import import_
from infra.local.keys import keys
from infra.local.replay_command import replay
from infra.local.stack import Options, Stack
from infra.local.types import types

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
@click.version_option(package_name="baton")
def main() -> None:
    """Baton runs LangGraph threads step by step: HTTP, a queue, Postgres."""


@main.command()
@click.option("--config", type=FILE, default="langgraph.json", help="The project's file.")
@click.option("--port", type=click.IntRange(0, 65535), default=2024, help="Of the API; 0 picks.")
@click.option(
    "--websocket-port", type=click.IntRange(0, 65535), help="[default: the one after --port]"
)
@click.option("--data", type=FOLDER, help="Where data stays.  [default: .baton beside --config]")
@click.option("--workers", type=click.IntRange(1, 64), default=2, help="Steps that run at once.")
@click.option("--queue", type=click.Choice(["sqs", "memory"]), default="sqs", help="Its kind.")
@click.option("--step-timeout", type=click.FloatRange(1, 900), default=60.0, help="Seconds.")
def dev(step_timeout: float, **options: Any) -> None:
    """Run the whole stack on this machine, on loopback only, until Ctrl-C.

    DATABASE_URL and QUEUE_URL in the environment are used instead of an embedded Postgres and SQS.
    """
    sys.exit(asyncio.run(run(Options(pace=Pace(step_timeout=step_timeout), **options))))


@main.command()
@click.option("--documents", type=FOLDER, default=DOCUMENTS, help="A folder of .md and .txt files.")
@click.option("--question", default=QUESTION, help="What to research in them.")
@click.option("--data", type=FOLDER, default=".baton/demo", help="Where data stays.")
def demo(documents: Path, question: str, data: Path) -> None:
    """Research a question over HTTP, kill the worker on the way, and see the thread go on."""
    options = Options(config=PROJECT, port=0, data=data, workers=1)
    console = Console(highlight=False)
    shown = show(options, documents=documents, question=question, console=console)
    sys.exit(asyncio.run(shown))


main.add_command(keys)
main.add_command(encryption)
main.add_command(cost)
main.add_command(scale)
main.add_command(types)
main.add_command(import_)
main.add_command(replay)


async def run(options: Options) -> int:
    """Until a signal; the exit status."""
    terminal = Terminal()
    told_to_stop = asyncio.Event()  # again and again for all it matters: stopping takes seconds
    for number in STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    serving = asyncio.create_task(_serve(options, terminal))
    waiting = asyncio.create_task(told_to_stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    serving.cancel()
    try:
        await serving
    except CannotStart as error:
        terminal.problem(str(error))
        return 1
    except asyncio.CancelledError:
        terminal.note("Stopped", "")
    return 0


async def _serve(options: Options, terminal: Terminal) -> None:
    terminal.note("Baton", f"starting {options.config}")
    async with Stack(options, say=terminal.say) as stack:
        terminal.up(stack)
        await stack.serve()
