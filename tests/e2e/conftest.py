"""The built artifact and everything around it; what was measured is printed at the end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.build.bundle import sizes
from tests.e2e.account import Deployed, deploy
from tests.e2e.deployment import Around, empty_database
from tests.e2e.figures import Figures
from tests.e2e.ministack import ministack
from tests.e2e.toolbox import Toolbox, toolbox
from tests.fixtures.postgres import Server

FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.section("figures")
    for line in config.stash[FIGURES].table():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """What tests measure goes here."""
    return request.config.stash[FIGURES]


@pytest.fixture(scope="session")
def tools(figures: Figures) -> Toolbox:
    """Built and installed once."""
    with figures.timed("build"):
        made = toolbox()
    figures.bundle = tuple(sizes(made.bundle))
    return made


@pytest.fixture
def around(
    tools: Toolbox, postgres_server: Server, pgbouncer_server: Server, tmp_path: Path
) -> Around:
    return Around(tools, postgres_server, pgbouncer_server, tmp_path)


@pytest.fixture(scope="session")
def deployed(
    tools: Toolbox,
    figures: Figures,
    postgres_server: Server,
    pgbouncer_server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployed]:
    """template.yaml in an emulated account, deployed once."""
    folder = tmp_path_factory.mktemp("account")
    with empty_database(postgres_server) as name, ministack(tools, folder) as it:
        urls = {"direct": postgres_server.url(name), "proxied": pgbouncer_server.url(name)}
        with figures.timed("deploy"):
            made = deploy(it, tools, folder, **urls)
        yield made
