"""What every benchmark is given: a Postgres that keeps what it is told, and how long to take."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg
from psycopg import sql

from tests.benchmarks.machine import cpu_of_tree
from tests.fixtures.postgres import Server, postgres

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).parent / "project" / "langgraph.json"
TUNING = {"max_connections": "200", "shared_buffers": "256MB"}  # fsync stays on


class BenchmarkFailed(Exception):
    """Something that was to be measured did not do its work."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A run of the benchmarks."""

    server: Server
    quick: bool = False

    def rounds(self, number: int, *, quick: int) -> int:
        return quick if self.quick else number

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.server.url(name)

    def postgres_cpu(self) -> float:
        """Seconds of CPU that Postgres has used."""
        with psycopg.connect(self.server.url("postgres")) as connection:
            row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
        assert row is not None
        return cpu_of_tree(int(row[0].split()[0]))


@contextlib.contextmanager
def bench(*, quick: bool) -> Iterator[Bench]:
    """A new Postgres, gone after the block."""
    with postgres(TUNING) as server:
        yield Bench(server, quick)


def stored_bytes(url: str) -> int:
    """What the tables of a database take, with their indexes."""
    return _over_tables(url, "SELECT pg_total_relation_size('{}')")


def stored_rows(url: str) -> int:
    """The rows of all tables of a database."""
    return _over_tables(url, "SELECT count(*) FROM {}")


def _over_tables(url: str, of_one: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        statements = (of_one.format(name) for (name,) in found.fetchall())
        rows = [connection.execute(statement.encode()).fetchone() for statement in statements]
    return sum(int(row[0]) for row in rows if row)


def clean_env(**changes: str) -> dict[str, str]:
    """The environment of a contestant: bytecode is written, nothing is inherited by accident."""
    mine = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PYTHONPATH", "DATABASE_URL", "QUEUE_URL")
    return {key: value for key, value in os.environ.items() if key not in mine} | changes


def ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def middle(values: list[float]) -> float | None:
    return median(values) if values else None
