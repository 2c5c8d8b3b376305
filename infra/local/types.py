"""`baton types --ts`: what a project's graphs take, give, keep and tell, as TypeScript."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from graph.adapters.registry import Registry
from graph.errors import AgentError
from graph.runtime.models import Json
from infra.local.typescript import declarations, identifier, literal

FILE = click.Path(dir_okay=False, path_type=Path)
HEAD = """\
// Written by `baton types --ts`: not to be edited.

export interface Interrupt { id: string; value: unknown }

interface Told<Name extends string, Data> { id?: string; event: Name; data: Data }

/** What a run's stream tells, by the state of its graph and the names of its nodes. */
export type EventOf<State, Node extends string> =
  | Told<"metadata", { run_id: string; attempt: number }>
  | Told<"values", State & { __interrupt__?: Interrupt[] }>
  | Told<"updates", { [node in Node]?: Partial<State> | null } & { __interrupt__?: Interrupt[] }>
  | Told<"messages", [message: unknown, metadata: Record<string, unknown>]>
  | Told<"custom" | "debug" | "tasks" | "checkpoints", unknown>
  | Told<"error", { error: string; message: string }>
  | Told<"end", null>;
"""
SCHEMAS = {
    "Input": "input_schema",
    "Output": "output_schema",
    "State": "state_schema",
    "Context": "context_schema",
}


@click.command("types")
@click.option("--ts", is_flag=True, help="TypeScript, the one language there is.")
@click.option("--config", type=FILE, default="langgraph.json", help="The project's file.")
@click.option("--out", type=FILE, help="Where to write.  [default: the terminal]")
def types(ts: bool, config: Path, out: Path | None) -> None:
    """Write types of each graph's input, output, state, context and events, for its clients."""
    if not ts:
        raise click.UsageError("say --ts, for TypeScript")
    try:
        text = asyncio.run(typescript(config))
    except AgentError as error:
        raise click.ClickException(str(error)) from error
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text)


async def typescript(config: Path) -> str:
    """A module with a namespace for each graph; raises BadProject."""
    from graph.runtime.json_schemas import schemas_of

    registry = Registry(config)
    for name, value in registry.env.items():
        os.environ.setdefault(name, value)
    spaces, graphs = [], []
    for name in registry.names():
        graph = await registry.load(name, {})
        nodes = [node for node in graph.nodes if not node.startswith("__")]
        space = identifier(name)
        spaces.append("\n".join(_namespace(space, schemas_of(graph), nodes)))
        kinds = "; ".join(f"{kind.lower()}: {space}.{kind}" for kind in (*SCHEMAS, "Event"))
        graphs.append(f"  {literal(name)}: {{ {kinds} }};")
    index = [
        "/** By the name that a client asks for. */",
        "export interface Graphs {",
        *graphs,
        "}",
    ]
    return "\n".join([HEAD, *spaces, *index, ""])


def _namespace(name: str, schemas: Json, nodes: Sequence[str]) -> Iterator[str]:
    yield f"export namespace {name} {{"
    for kind, key in SCHEMAS.items():
        schema = schemas[key]
        yield from declarations(kind, True if schema is None else schema)
    yield f"export type Node = {' | '.join(map(literal, nodes)) or 'never'};"
    yield "export type Event = EventOf<State, Node>;"
    yield "}\n"
