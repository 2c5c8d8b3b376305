"""The statements' texts: whole, and no longer than what they are asked to do."""

import re

import pytest

from graph.adapters.postgres.queries import queries, query

PROXIED = 16_000  # bytes; AWS's proxy pins a session for a longer text


@pytest.mark.parametrize("name", sorted(queries()))
def test_a_statement_is_whole_with_and_without_its_options(name: str) -> None:
    _, options = queries()[name]
    bare, full = query(name, {}), query(name, {asked: [1] for _, asked in options})
    for text in (bare, full):
        assert not re.search(r"\{[a-z_]+\}", text)
        assert len(text) < PROXIED
    assert (len(full) > len(bare)) == bool(options)


def test_an_option_is_there_only_when_its_parameter_says_something() -> None:
    absent: list[dict[str, object]] = [{}, {"undo": False}, {"undo": None}]
    for nothing in absent:
        assert "FROM items" not in query("create_run", nothing)
    assert "FROM items" in query("create_run", {"undo": True})


def test_what_every_step_sends_is_short() -> None:
    assert len(query("claim", {})) < 200
    assert len(query("advance", {})) < 1000
