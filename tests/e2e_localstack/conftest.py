"""template.yaml in LocalStack, deployed once."""

from collections.abc import Iterator

import pytest

from tests.e2e.account import Deployed, deploy
from tests.e2e.deployment import empty_database
from tests.e2e.localstack import localstack
from tests.e2e.toolbox import toolbox
from tests.fixtures.postgres import Server


@pytest.fixture(scope="session")
def deployed(
    postgres_server: Server, pgbouncer_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    folder, tools = tmp_path_factory.mktemp("localstack"), toolbox()
    with empty_database(postgres_server) as name, localstack(tools, folder) as it:
        urls = {"direct": postgres_server.url(name), "proxied": pgbouncer_server.url(name)}
        yield deploy(it, tools, folder, **urls)
