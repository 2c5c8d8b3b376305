"""The contract suite runs on the memory double and on Postgres through pgbouncer, and sealed."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from graph.adapters.sealing import NO_KEYS
from graph.runtime.ports import Store
from tests.contracts.lab import Lab, MemoryLab, PostgresLab
from tests.fixtures.keys import a_ring
from tests.fixtures.postgres import OWNED_BY_ANOTHER, Server, database


@pytest.fixture(scope="session")
def contract_database(postgres_server: Server, template_database: str) -> Iterator[str]:
    """One database for the suite: emptying it is much faster than a copy for each test.

    The proxy opens it as the functions' role, so that every statement is allowed to it.
    """
    with database(postgres_server, template_database, OWNED_BY_ANOTHER) as name:
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
        connection.execute("DELETE FROM turns")
        connection.execute("UPDATE walks SET place = ''")
    return pgbouncer_server.url(contract_database), direct


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Races are the same races, whatever is in the columns; everything else is run sealed, too."""
    if "lab" in metafunc.fixturenames:
        sealed = [] if "races" in metafunc.module.__name__ else ["sealed"]
        metafunc.parametrize("lab", ["memory", "postgres", *sealed], indirect=True)


@pytest.fixture
async def lab(request: pytest.FixtureRequest) -> AsyncIterator[Lab]:
    """The store under test and what a test may do to it."""
    if request.param == "memory":
        yield MemoryLab()
        return
    keys = a_ring("k1") if request.param == "sealed" else NO_KEYS
    postgres = PostgresLab(*request.getfixturevalue("postgres_urls"), keys=keys)
    yield postgres
    await postgres.close()


@pytest.fixture
def store(lab: Lab) -> Store:
    """The store under test."""
    return lab.store
