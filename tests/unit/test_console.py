"""What `baton dev` prints."""

import io
import json

import pytest
from rich.console import Console

from infra.local.console import Terminal, readable


def printed(line: str) -> str:
    written = io.StringIO()
    Terminal(Console(file=written, soft_wrap=True)).say("worker 1", line)
    return written.getvalue()


def test_a_structured_log_line_is_made_readable() -> None:
    logged = {"level": "INFO", "message": "step", "seq": 3, "tasks": ["plan"], "service": "baton"}

    assert readable(json.dumps(logged)) == 'step seq=3 tasks=["plan"]'


def test_what_is_not_info_says_so_and_shows_its_trace() -> None:
    logged = {"level": "ERROR", "message": "oh", "exception": "Traceback\n  boom"}

    assert readable(json.dumps(logged)) == "ERROR oh\nTraceback\n  boom"


@pytest.mark.parametrize("line", ["hello", "{not json", "[1]", '{"no": "message"}', "3", ""])
def test_any_other_line_is_left_as_it_is(line: str) -> None:
    assert readable(line) == line


@pytest.mark.parametrize("line", ["[bold]not markup[/bold]", "[/]", "a" * 300])
def test_a_line_is_never_read_as_markup_or_broken(line: str) -> None:
    assert printed(line) == f"worker 1  {line}\n"


def test_a_problem_is_one_line() -> None:
    written = io.StringIO()
    Terminal(Console(file=written, soft_wrap=True)).problem("it does\n  not [start]")

    assert written.getvalue() == "baton: it does not [start]\n"


def test_colours_are_a_terminals_and_no_file_has_them() -> None:
    colour, plain = io.StringIO(), io.StringIO()
    terminal = Terminal(Console(file=colour, force_terminal=True, color_system="standard"))
    file = Terminal(Console(file=plain))
    for printer in (terminal, file, terminal, file):
        printer.say("api", "plain")
        printer.say("api", "\x1b[31mred\x1b[0m")

    assert colour.getvalue() == 2 * (
        "\x1b[2mapi       \x1b[0mplain\n\x1b[2mapi       \x1b[0m\x1b[31mred\x1b[0m\n"
    )
    assert plain.getvalue() == 2 * "api       plain\napi       red\n"
