"""The contract suite runs on the memory double and on Postgres through pgbouncer alike."""

from collections.abc import AsyncIterator

import pytest

from graph.runtime.ports import Store
from tests.contracts.lab import Lab, MemoryLab, PostgresLab


@pytest.fixture(params=["memory", "postgres"])
def urls(request: pytest.FixtureRequest) -> tuple[str, str] | None:
    """Where the database is, (through the proxy, directly); None for the double."""
    if request.param == "memory":
        return None
    return request.getfixturevalue("database_url"), request.getfixturevalue("direct_url")


@pytest.fixture
async def lab(urls: tuple[str, str] | None) -> AsyncIterator[Lab]:
    """The store under test and what a test may do to it."""
    if urls is None:
        yield MemoryLab()
        return
    postgres = PostgresLab(*urls)
    yield postgres
    await postgres.close()


@pytest.fixture
def store(lab: Lab) -> Store:
    """The store under test."""
    return lab.store
