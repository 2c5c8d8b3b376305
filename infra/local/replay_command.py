"""`baton replay`: a step of the past taken again, and what is different."""

import asyncio
import difflib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from graph.adapters.postgres import PostgresStore
from graph.adapters.registry import Registry
from graph.errors import AgentError
from infra.local.database import database_of, with_database
from infra.local.encryption import keys_said, with_keys

if TYPE_CHECKING:
    from infra.local.replay import Replayed, Result

Json = dict[str, Any]
FILE = click.Path(dir_okay=False, path_type=Path)
COLOURS = {"+": "green", "-": "red", "@": "cyan"}
WARNING = (
    "The nodes of this step run again, with all they do outside: mails, payments, the long-term "
    "store. Their effect keys begin with {keys} as they did. The thread itself is not touched."
)


@click.command()
@click.argument("thread_id", metavar="THREAD")
@click.option("--at", help="The checkpoint to start from.  [default: where the last step did]")
@click.option("--live", is_flag=True, help="Ask the models anew; what they cost is spent.")
@click.option("--graph", "graph_id", help="Of --config.  [default: the thread's own]")
@click.option("--config", type=FILE, default="langgraph.json", help="The project's file.")
@with_database
@with_keys
@click.option("--yes", is_flag=True, help="Do not ask whether the nodes may run.")
@click.option("--json", "as_json", is_flag=True, help="For programs; asks nothing.")
def replay(**options: Any) -> None:
    """Take a step of THREAD again, in memory, and show what is different from then.

    Models answer from what was recorded, in runs whose config had {"configurable": {"record":
    true}}; with --live they are asked anew. Exits with 1 if the step fails.
    """
    if not (options["yes"] or options["as_json"]):
        click.echo(WARNING.format(keys=f"{options['thread_id']}:<step>:"), err=True)
        click.confirm("Go on?", abort=True, err=True)
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # before LangGraph is loaded
    try:
        found = asyncio.run(_replayed(options))
    except AgentError as error:
        raise click.ClickException(str(error)) from error
    if options["as_json"]:
        click.echo(json.dumps(document(found), indent=2))
    else:
        show(found, Console(highlight=False))
    if found.now.error:
        raise SystemExit(1)


async def _replayed(options: Json) -> "Replayed":
    from graph.adapters.long_term import LongTermStore
    from infra.local.replay import Replayer

    registry = Registry(options["config"])
    url = database_of(options["database_url"], options["data"])
    store = PostgresStore(url, keys=keys_said(options["encryption_keys"]))
    beside = store.db.another()
    try:
        long_term = LongTermStore(beside, registry.store_config)
        replayer = Replayer(store, registry, registry.allowed_types, long_term)
        return await replayer.replay(
            options["thread_id"], options["at"], live=options["live"], graph_id=options["graph_id"]
        )
    finally:
        await beside.close()
        await store.close()


def document(found: "Replayed") -> Json:
    """All of it as JSON."""
    return {
        "thread_id": found.thread_id,
        "checkpoint_id": found.checkpoint_id,
        "effect_keys": found.effect_keys,
        "same": not (lines := list(differences(found))) and found.now.error is None,
        "differences": lines,
        "recorded_calls": [{"node": call.node, "kind": call.kind} for call in found.calls],
        "answered_from_record": found.answered,
        "spent": {
            "model_calls": found.spent.calls,
            "tokens": found.spent.tokens,
            "usd": str(found.spent.usd),
        },
        "was": _plain(found.was),
        "now": _plain(found.now),
    }


def differences(found: "Replayed") -> Iterator[str]:
    """A unified diff of the state, the questions and what comes next, without messages' ids."""
    was, now = (_text(result) for result in (found.was, found.now))
    yield from difflib.unified_diff(was, now, "recorded", "replayed", lineterm="", n=2)


def _text(result: "Result") -> list[str]:
    return json.dumps(_without_ids(_plain(result)), indent=2, sort_keys=True).splitlines()


def _plain(result: "Result") -> Json:
    return {
        "values": result.values,
        "interrupts": [[q["value"] for q in asked] for asked in result.interrupts.values()],
        "next": list(result.next),
        "error": result.error,
    }


def _without_ids(value: Any) -> Any:
    """Plain data without the ids of messages, which are made anew each time.

    And without the cost of nothing that LangChain puts on what it need not ask for.
    """
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not {"type", "content", "additional_kwargs"} <= value.keys():
        return {key: _without_ids(held) for key, held in value.items()}
    usage = {k: v for k, v in (value.get("usage_metadata") or {}).items() if k != "total_cost"}
    return {**value, "id": None, "usage_metadata": usage}


def show(found: "Replayed", console: Console) -> None:
    """The differences, and what the replay took."""
    console.print(f"Step from checkpoint {found.checkpoint_id}, effect keys {found.effect_keys}…")
    lines = list(differences(found))
    for line in lines:
        console.print(line, style=COLOURS.get(line[:1], ""), markup=False)
    if not lines:
        console.print("[green]No difference.[/green]")
    table = Table("calls", "recorded", "from the record", "live", "tokens", "USD")
    spent = found.spent
    numbers = (len(found.calls), found.answered, spent.calls, spent.tokens, f"{spent.usd:.4f}")
    table.add_row("models", *map(str, numbers))
    console.print(table)
    if found.now.error:
        console.print(f"[red]{found.now.error['error']}[/red]: ", end="")
        console.print(found.now.error["message"], markup=False)
