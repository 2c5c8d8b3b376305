"""How hard the fault tests try: short in CI, `--full` by hand."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.local.stack import Options, Stack
from tests.faults.audit import Audit

PROJECT = Path(__file__).parents[1] / "fixtures" / "projects" / "faults" / "langgraph.json"
EFFECTS = "CREATE TABLE effects (key text NOT NULL, pid int NOT NULL)"


@dataclass(frozen=True, slots=True)
class Size:
    """How many threads are run through a fault."""

    threads: int


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    return Size(threads=50) if request.config.getoption("--full") else Size(threads=12)


Run = Callable[..., Any]


@pytest.fixture
def audit(direct_url: str) -> Audit:
    """Looks at what is in the database, past the proxy and past Baton."""
    with psycopg.connect(direct_url, autocommit=True) as connection:
        connection.execute(EFFECTS)
    return Audit(direct_url)


@pytest.fixture
def stack(database_url: str, direct_url: str, tmp_path: Path) -> Run:
    """Starts a stack on the test's database, through pgbouncer."""

    @asynccontextmanager
    async def up(
        env: dict[str, str] | None = None, config: Path = PROJECT, **options: Any
    ) -> AsyncIterator[Stack]:
        environ = {
            **os.environ,
            "DATABASE_URL": database_url,
            "MIGRATION_DATABASE_URL": direct_url,
            "LOG_LEVEL": "WARNING",
            "BATON_MAX_ATTEMPTS": "1000",  # so many invocations die here on purpose
            **(env or {}),
        }
        made = Options(config=config, port=0, data=tmp_path / "data", environ=environ, **options)
        async with Stack(made) as running:
            yield running

    return up
