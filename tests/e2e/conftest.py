"""The built artifact and everything around it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.account import Deployed, deploy
from tests.e2e.deployment import Around, empty_database
from tests.e2e.ministack import ministack
from tests.e2e.toolbox import Toolbox, toolbox
from tests.fixtures.postgres import Server


@pytest.fixture(scope="session")
def tools() -> Toolbox:
    """Built and installed once."""
    return toolbox()


@pytest.fixture
def around(
    tools: Toolbox, postgres_server: Server, pgbouncer_server: Server, tmp_path: Path
) -> Around:
    return Around(tools, postgres_server, pgbouncer_server, tmp_path)


@pytest.fixture(scope="session")
def deployed(
    tools: Toolbox,
    postgres_server: Server,
    pgbouncer_server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployed]:
    """template.yaml in an emulated account, deployed once."""
    folder = tmp_path_factory.mktemp("account")
    with empty_database(postgres_server) as name, ministack(tools, folder) as it:
        urls = {"direct": postgres_server.url(name), "proxied": pgbouncer_server.url(name)}
        yield deploy(it, tools, folder, **urls)
