"""The table at the end of `make e2e`."""

import re

from tests.e2e.figures import Figures


def test_the_parts_add_up_to_the_whole() -> None:
    clock = iter([100.0, 100.0, 160.0, 160.0, 190.0, 400.0]).__next__
    bundle = ("dist/local: 90.0 MB of 250 MB", "   9.0 MB  psycopg_binary")
    figures = Figures(clock=clock, bundle=bundle)
    with figures.timed("build"):
        pass
    with figures.timed("deploy"):
        pass
    figures.add("steps at once, 4 asked", "4 seen", "all that were asked")
    *table, took, load = figures.table()

    assert table[:2] == list(figures.bundle)
    assert [re.split(r"\s{2,}", row) for row in table[2:]] == [
        ["what", "figure", "goal"],
        ["steps at once, 4 asked", "4 seen", "all that were asked"],
    ]
    assert took.startswith("build 60 s, deploy 30 s, tests 210 s: 300 s in all")
    assert load.startswith("load ")


def test_without_figures_there_is_no_empty_table() -> None:
    assert len(list(Figures().table())) == 2
