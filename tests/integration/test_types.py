"""`baton types --ts`, judged by TypeScript's own compiler."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.local.cli import main
from tests.fixtures.node import Node

ROOT = Path(__file__).parents[2]
TYPED = ROOT / "tests" / "fixtures" / "projects" / "typed" / "langgraph.json"
STRICT = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "")

RIGHT = """
const given: typed.Input = { title: "t", colour: "red" };
const all: typed.Input = { title: "t", colour: "blue", note: null, at: [1, "x"], counts: { a: 1 } };
const tree: typed.Output["tree"] = {
  kind: "branch", parts: [{ kind: "leaf", size: 1 }, { kind: "branch", parts: [] }],
};
const context: Graphs["typed"]["context"] = { user_id: "ann" };
const text: Graphs["2nd-one"]["input"] = "hi";
function size(event: Graphs["typed"]["event"]): number | undefined {
  if (event.event === "updates") {
    const tree = event.data["grow-it"]?.tree;
    return tree?.kind === "leaf" ? tree.size : undefined;
  }
  if (event.event === "values") return event.data.title?.length;
  if (event.event === "error") return event.data.message.length;
  return undefined;
}
export { given, all, tree, context, text, size };
"""
WRONG = [
    'export const x: typed.Input = { title: "t" };',
    'export const x: typed.Input = { title: 1, colour: "red" };',
    'export const x: typed.Input = { title: "t", colour: "green" };',
    'export const x: typed.Input = { title: "t", colour: "red", at: ["x", 1] };',
    'export const x: typed.Input = { title: "t", colour: "red", counts: { a: "1" } };',
    'export const x: typed.Input = { title: "t", colour: "red", tree: null };',
    'export const x: typed.Output = { tree: { kind: "leaf" } };',
    'export const x: typed.Output = { tree: { kind: "branch", parts: [{ kind: "twig" }] } };',
    "export const x: typed.Context = { user_id: null };",
    'export const x: typed.Node = "grow";',
    'export const x: Graphs["2nd-one"]["output"] = 1;',
    "export const f = (e: typed.Event) => e.event === 'values' && e.data.nothing;",
]


async def written(config: Path, to: Path) -> None:
    asked = ["types", "--ts", "--config", str(config), "--out", str(to)]
    done = await asyncio.to_thread(CliRunner().invoke, main, asked)
    assert done.exit_code == 0, done.output


async def test_what_is_right_compiles_and_what_is_wrong_does_not(
    node: Node, tmp_path: Path
) -> None:
    await written(TYPED, tmp_path / "graphs.ts")
    imports = 'import type { Graphs, typed } from "./graphs.js";\n'
    programs = {"right": RIGHT, **{f"wrong{n}": text for n, text in enumerate(WRONG)}}
    for name, text in programs.items():
        (tmp_path / f"{name}.ts").write_text(imports + text)

    files = [str(tmp_path / f"{name}.ts") for name in programs]
    status, said, _ = await node.run("node_modules/.bin/tsc", *STRICT, *files)

    assert status != 0
    for name in programs:
        assert (f"{name}.ts" in said) is name.startswith("wrong"), said
    assert "graphs.ts" not in said


async def test_the_projects_own_graphs(node: Node, tmp_path: Path) -> None:
    await written(ROOT / "langgraph.json", tmp_path / "graphs.ts")
    program = """import type { Graphs, triage } from "./graphs.js";
export const ticket: triage.Input = { ticket: "help", sender: "ann@example.com" };
export const priority: triage.State["priority"] = "critical";
export const names: (keyof Graphs)[] = ["chat", "research", "triage"];
"""
    (tmp_path / "program.ts").write_text(program)

    status, said, _ = await node.run("node_modules/.bin/tsc", *STRICT, str(tmp_path / "program.ts"))

    assert status == 0, said


@pytest.mark.parametrize("asked", [[], ["--ts", "--config", "missing.json"]])
def test_what_cannot_be_written_is_said_so(asked: list[str]) -> None:
    done = CliRunner().invoke(main, ["types", *asked])
    assert done.exit_code != 0
    assert "--ts" in done.output or "missing.json" in done.output
