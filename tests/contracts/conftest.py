"""The contract suite runs on the memory double and on Postgres through pgbouncer alike."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from graph.runtime.ports import Store
from tests.contracts.lab import Lab, MemoryLab, PostgresLab
from tests.fixtures.postgres import Server, database


@pytest.fixture(scope="session")
def contract_database(postgres_server: Server, template_database: str) -> Iterator[str]:
    """One database for the suite: emptying it is much faster than a copy for each test."""
    with database(postgres_server, template_database) as name:
        yield name


@pytest.fixture
def postgres_urls(
    postgres_server: Server, pgbouncer_server: Server, contract_database: str
) -> tuple[str, str]:
    """The emptied database through the proxy, and directly."""
    direct = postgres_server.url(contract_database)
    with psycopg.connect(direct) as connection:
        connection.execute("DELETE FROM threads")
        connection.execute("DELETE FROM crons")
        connection.execute("UPDATE walks SET place = ''")
    return pgbouncer_server.url(contract_database), direct


@pytest.fixture(params=["memory", "postgres"])
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """The store under test and what a test may do to it."""
    if request.param == "memory":
        yield MemoryLab()
        return
    postgres = PostgresLab(*request.getfixturevalue("postgres_urls"))
    yield postgres
    await postgres.close()


@pytest.fixture
def store(lab: Lab) -> Store:
    """The store under test."""
    return lab.store
