"""`baton scale`: the arithmetic by hand, and a document that is up to date."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.cost.scale import BEGIN, DOCUMENT, END, Shape, demand, lines, measured
from infra.local.cli import main

ROOT = Path(__file__).parents[2]


def test_the_document_shows_what_was_measured_last() -> None:
    shown = (ROOT / DOCUMENT).read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.splitlines() == list(lines((1, 100, 10_000), Shape())), "run `baton scale --write`"


def test_a_hundred_steps_a_second_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"postgres_ms": 2, "function_ms": 4, "machinery_ms": 100, "round_trips": 2}
    figures |= {"trip_ms": 1, "sent_kb": 5, "stored_kb": 2, "rows": 2, "sqs_requests": 3}
    step = {name: {"value": value} for name, value in figures.items()}
    monkeypatch.setattr("infra.cost.scale.measured", lambda: {"step": step})
    shape = Shape(model_seconds=4.9, steps_per_run=5, state_kb=95, batch=10)

    assert demand(100, shape) == pytest.approx(
        {
            "at_once": 500,  # 100 x (4.9 s + 0.1 s)
            "invocations": 50,  # by tens
            "postgres_cores": 0.2,  # 100 x 2 ms
            "function_cores": 0.4,  # 100 x 4 ms
            "connections": 0.4,  # 100 x (2 trips x 1 ms + 2 ms)
            "megabytes": 10,  # 100 x (5 KB + 95 KB)
            "sqs": 300,
            "requests": 40,  # 20 runs, made and, after 25 s, waited for again
            "rows": 17.28,  # 100 x 2 x 86,400 s, in millions
            "gigabytes": 17.28,  # 100 x 2 KB x 86,400 s
        }
    )


def test_what_is_fullest_is_shown_first() -> None:
    _, _, table = "\n".join(lines((100,), Shape())).split("\n\n")[1:]
    used = [float(row.split("|")[2].strip(" %").replace(",", "")) for row in table.splitlines()[2:]]
    assert used == sorted(used, reverse=True)
    assert used[0] > 100


def test_every_figure_says_where_it_is_from_and_every_limit_what_to_turn() -> None:
    assert all(figure["from"] and figure["value"] > 0 for figure in measured()["step"].values())
    taken = demand(1, Shape())
    assert all(limit["of"] in taken and limit["turn"] for limit in measured()["limits"])


def test_writing_changes_nothing_but_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    DOCUMENT.parent.mkdir()
    DOCUMENT.write_text(f"before\n{BEGIN}old\n{END}after\n")
    for _ in range(2):
        assert CliRunner().invoke(main, ["scale", "--write"]).exit_code == 0
    said = "".join(f"{line}\n" for line in lines((1, 100, 10_000), Shape()))
    assert DOCUMENT.read_text() == f"before\n{BEGIN}{said}{END}after\n"


@pytest.mark.parametrize("wrong", [["--batch", "0"], ["--steps-per-second", "-1"], ["--state-kb"]])
def test_a_wrong_number_is_said(wrong: list[str]) -> None:
    said = CliRunner().invoke(main, ["scale", *wrong])
    assert said.exit_code == 2
    assert "Error" in said.output
