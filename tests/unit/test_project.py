"""The house rules: budgets, records, and nothing that belongs to one machine."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"dist", "node_modules", "__pycache__"}
MODULE_LINES = 300
FUNCTION_LINES = 40
JUNK_DRAWERS = {"utils", "helpers", "common", "core", "shared", "services", "misc"}
ADR_HEADINGS = ["## Context", "## Choice", "## Consequence"]
# Put together from parts: this file must not find itself.
HOME = re.compile(
    r"(?<![\w.~}\])-])/(?:" + "|".join(["root", "work", "home", "Users"]) + r")\b(?![.-])"
)


def files() -> Iterator[Path]:
    """Every file of the project that a person wrote, hidden folders but .ci left out."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [b for b in below if b not in GENERATED and (b == ".ci" or b[0] != ".")]
        yield from (Path(folder, n) for n in names if not n.endswith(".pyc") and n != ".coverage")


def modules() -> list[Path]:
    """The product's modules."""
    product = ("functions", "graph", "infra")
    return sorted(
        f for f in files() if f.suffix == ".py" and f.relative_to(ROOT).parts[0] in product
    )


def named(paths: list[Path]) -> list[str]:
    """Paths as a person would say them."""
    return [str(path.relative_to(ROOT)) for path in paths]


MODULES = modules()
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))


@pytest.mark.parametrize("module", MODULES, ids=named(MODULES))
def test_modules_and_functions_stay_within_their_budgets(module: Path) -> None:
    source = module.read_text()
    lines = len(source.splitlines())
    assert lines <= MODULE_LINES, f"{lines} lines: which two things is it?"
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, defined) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


def test_no_module_is_a_junk_drawer() -> None:
    assert [m for m in named(MODULES) if JUNK_DRAWERS & set(Path(m).with_suffix("").parts)] == []


def test_the_changelog_has_room_for_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("adr", ADRS, ids=named(ADRS))
def test_every_decision_says_context_choice_and_consequence(adr: Path) -> None:
    lines = adr.read_text().splitlines()
    assert lines[0].startswith(f"# {adr.name[:4]}: ")
    assert [line for line in lines if line.startswith("## ")] == ADR_HEADINGS


def test_every_decision_has_its_own_number() -> None:
    numbers = [adr.name[:4] for adr in ADRS]
    assert "0001" in numbers
    assert len(numbers) == len(set(numbers))


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for file in files():
        for number, line in enumerate(file.read_bytes().decode(errors="replace").splitlines(), 1):
            if HOME.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert found == []


def test_the_search_for_machine_paths_finds_them() -> None:
    home = "/" + "root"
    assert HOME.search(f"open('{home}/x')")
    assert HOME.search(f"PATH={home}")
    assert not HOME.search(f"https://example.org{home}/x")
    assert not HOME.search(f"{home}stock")
