"""The built artifact and everything around it."""

from pathlib import Path

import pytest

from tests.e2e.deployment import Around
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
