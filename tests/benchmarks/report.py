"""What a benchmark found: tables and goals, for people, for docs/benchmarks.md and for programs."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

Cell = str | float | int | None
HEAD = """# Benchmarks

Written by `make bench`, never by hand. Every ratio compares contestants that took turns in one run
on one machine; absolute times are for orientation only. Each section says when and where it was
measured.
"""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach: at most `bound`, or at least."""

    what: str
    value: float | None  # None: it could not be measured
    bound: float
    at_least: bool = False

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        reached = self.value >= self.bound if self.at_least else self.value <= self.bound
        return "reached" if reached else "worse than its goal"


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark, measured once."""

    name: str
    about: str
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def all_tables(self) -> tuple[Table, ...]:
        return (*self.tables, _goals(self.goals)) if self.goals else self.tables


def _goals(goals: Sequence[Goal]) -> Table:
    rows = tuple(
        (g.what, g.value, f"{'>=' if g.at_least else '<='} {shown(g.bound)}", g.verdict)
        for g in goals
    )
    return Table("Goals", ("figure", "measured", "goal", "verdict"), rows)


def shown(cell: Cell) -> str:
    """Three significant digits."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if abs(cell) >= 100 or cell == int(cell):
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def to_console(result: Result, console: Console) -> None:
    console.print(f"\n[bold]{result.name}[/bold]: {result.about}")
    for table in result.all_tables:
        drawn = RichTable(title=table.title, title_justify="left", title_style="bold")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in table.rows:
            worse = "worse than its goal" in row
            drawn.add_row(*map(shown, row), style="red" if worse else None)
        console.print(drawn)
    for note in result.notes:
        console.print(f"- {note}")


def to_json(result: Result, machine: dict[str, Any]) -> dict[str, Any]:
    goals = [asdict(goal) | {"verdict": goal.verdict} for goal in result.goals]
    return asdict(result) | {"goals": goals, "machine": machine}


def to_markdown(result: Result, where: str) -> str:
    parts = [f"## {result.name}", f"{result.about[0].upper()}{result.about[1:]}", f"*{where}*"]
    for table in result.all_tables:
        lines = [f"**{table.title}**", "", _line(table.columns)]
        lines.append(_line(["---", *["--:" for _ in table.columns[1:]]]))
        lines += [_line([shown(cell) for cell in row]) for row in table.rows]
        parts.append("\n".join(lines))
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(section: str, file: Path, *, order: Sequence[str]) -> None:
    """Put the section in the place of its last version; the others stay as they are."""
    sections = dict(_sections(file)) | {_name(section): section}
    ranks = {name: rank for rank, name in enumerate(order)}
    known = sorted((name for name in sections if name in ranks), key=ranks.__getitem__)
    file.write_text("\n".join([HEAD, *(sections[name] for name in known)]))


def _sections(file: Path) -> list[tuple[str, str]]:
    text = file.read_text() if file.exists() else ""
    _, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return [(_name(part), part.rstrip("\n") + "\n") for part in parts]


def _name(section: str) -> str:
    return section.splitlines()[0].removeprefix("## ")
