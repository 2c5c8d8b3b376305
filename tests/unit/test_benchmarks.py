"""The benchmarks' machinery; nothing here is timed."""

import io
import json
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks.__main__ import NAMES
from tests.benchmarks.project.workloads import W1_INPUT, W1_STEPS, w1
from tests.benchmarks.report import (
    Goal,
    Result,
    Table,
    shown,
    to_console,
    to_json,
    to_markdown,
    write,
)
from tests.benchmarks.step import exponent

RESULT = Result(
    "speed",
    "how fast it goes",
    (Table("Medians", ("who", "steps/s"), (("ours", 1234.5), ("theirs", None))),),
    (Goal("steps/s", 1234.5, 2000, at_least=True), Goal("ms", 4.0, 5.0), Goal("KB", None, 6.0)),
    ("noisy",),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_can_be_measured(name: str) -> None:
    assert iscoroutinefunction(import_module(f"tests.benchmarks.{name}").measure)


def test_a_figure_that_is_worse_than_its_goal_is_called_so() -> None:
    verdicts = [goal.verdict for goal in RESULT.goals]
    assert verdicts == ["worse than its goal", "reached", "not measured"]


def test_a_report_shows_every_figure_and_what_could_not_be_measured() -> None:
    screen = io.StringIO()
    to_console(RESULT, Console(file=screen, width=120))
    printed = screen.getvalue()
    for text in ("speed", "1,234", "theirs", ">= 2,000", "worse than its goal", "noisy"):
        assert text in printed


def test_a_program_gets_the_goals_with_their_verdicts() -> None:
    said = json.loads(json.dumps(to_json(RESULT, {"cores": 2})))
    assert said["machine"] == {"cores": 2}
    assert said["goals"][0]["verdict"] == "worse than its goal"
    assert said["tables"][0]["rows"] == [["ours", 1234.5], ["theirs", None]]


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "-"), ("x", "x"), (1234.5, "1,234"), (0.0423, "0.0423"), (3.14159, "3.14"), (7, "7")],
)
def test_numbers_have_three_digits(cell: str | float | None, text: str) -> None:
    assert shown(cell) == text


def test_a_section_replaces_its_last_version_and_leaves_the_others(tmp_path: Path) -> None:
    file, order = tmp_path / "benchmarks.md", ("first", "speed")
    first = Result("first", "what comes first", ())
    write(to_markdown(RESULT, "yesterday"), file, order=order)
    write(to_markdown(first, "yesterday"), file, order=order)
    before = file.read_text()

    write(to_markdown(RESULT, "today"), file, order=order)

    assert file.read_text() == before.replace("yesterday", "today").replace("today", "yesterday", 1)
    assert before.index("## first") < before.index("## speed")
    assert "| ours | 1,234 |" in before


def test_the_exponent_of_a_power_is_found() -> None:
    assert exponent([(n, 3 * n**0.7) for n in (10.0, 100.0, 1000.0)]) == pytest.approx(0.7)
    assert exponent([(10.0, 1.0)]) is None


def test_w1_takes_as_many_supersteps_as_it_says() -> None:
    supersteps = list(w1.stream(W1_INPUT, stream_mode="updates"))
    assert len(supersteps) == W1_STEPS
