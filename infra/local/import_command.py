"""`baton import`: threads from LangGraph's PostgresSaver, in the database itself."""

import asyncio
import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from graph.adapters.postgres import PostgresStore
from graph.adapters.registry import Registry
from graph.errors import AgentError
from graph.runtime.keys import LONGEST_OWNER, is_owner
from infra.local.database import database_of, with_database
from infra.local.encryption import keys_said, with_keys

if TYPE_CHECKING:
    from infra.local.import_threads import Copied

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(name="import")
@click.option("--from", "source_url", required=True, help="URL of the PostgresSaver's database.")
@click.option("--owner", required=True, help="Whose threads they become.")
@click.option("--graph", "graph_id", help="Of langgraph.json.  [default: the only one]")
@click.option("--thread", "thread_ids", multiple=True, help="Only this one; may be repeated.")
@click.option("--config", type=FILE, default="langgraph.json", help="The project's file.")
@with_database
@with_keys
@click.option("--batch", type=click.IntRange(1, 1000), default=50, help="Checkpoints at once.")
@click.option("--dry-run", is_flag=True, help="Read everything, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def import_(**options: Any) -> None:
    """Copy threads, with all of their history, from the tables of LangGraph's PostgresSaver.

    Stop what writes to them first. What was killed on the way goes on when it is run again; a
    thread appears once all of it is there and reads the same from both sides. Exits with 1 if a
    thread was not copied.
    """
    if not is_owner(options["owner"]):
        raise click.BadParameter(
            f"an owner has 1 to {LONGEST_OWNER} printable characters", param_hint="--owner"
        )
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # before LangGraph is loaded
    try:
        found = asyncio.run(_imported(options))
    except AgentError as error:
        raise click.ClickException(str(error)) from error
    if options["as_json"]:
        click.echo(json.dumps({"threads": [asdict(copied) for copied in found]}, indent=2))
    else:
        show(found, Console(highlight=False))
    if any(copied.outcome == "failed" for copied in found):
        raise SystemExit(1)


async def _imported(options: dict[str, Any]) -> "list[Copied]":
    from graph.runtime.checkpoints import codec_for, strict_serializer
    from infra.local.import_threads import Importer
    from infra.local.stock import stock

    registry = Registry(options["config"])
    graph_id = _graph(registry, options["graph_id"])
    graph = await registry.load(graph_id, {})
    codec = codec_for(graph, strict_serializer(registry.allowed_types))
    url = database_of(options["database_url"], options["data"])
    store = PostgresStore(url, keys=keys_said(options["encryption_keys"]))
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        async with stock(options["source_url"], codec.serde) as source:
            thread_ids = options["thread_ids"] or await source.threads()
            with Progress(*columns, console=console) as progress:
                threads = progress.add_task("threads", total=len(thread_ids))
                stored = progress.add_task("checkpoints", total=None)
                importer = Importer(
                    source,
                    store,
                    codec,
                    options["owner"],
                    graph_id,
                    batch=options["batch"],
                    say=lambda count: progress.advance(stored, count),
                )
                found = []
                for thread_id in thread_ids:
                    take = importer.look if options["dry_run"] else importer.copy
                    found.append(await take(thread_id))
                    progress.advance(threads)
                return found
    finally:
        await store.close()


def _graph(registry: Registry, asked: str | None) -> str:
    names = registry.names()
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None or asked not in names:
        wrong = f"{asked!r} is none of" if asked else "say which graph the threads are of:"
        raise click.BadParameter(f"{wrong} {', '.join(names)}", param_hint="--graph")
    return asked


def show(found: "list[Copied]", console: Console) -> None:
    """A row for each outcome, and why threads were not copied."""
    table = Table("outcome", title="Threads", title_justify="left")
    for title in ("threads", "checkpoints", "pending writes"):
        table.add_column(title, justify="right")
    for outcome, count in sorted(Counter(copied.outcome for copied in found).items()):
        of = [copied for copied in found if copied.outcome == outcome]
        sums = (count, sum(c.checkpoints for c in of), sum(c.writes for c in of))
        table.add_row(outcome, *(f"{number:,}" for number in sums))
    console.print(table)
    for copied in found:
        if copied.said:
            console.print(f"{copied.thread_id}: {copied.said}", markup=False)
