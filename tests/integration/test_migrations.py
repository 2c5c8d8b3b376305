"""Migrations run forward, once, and make what schema.sql shows."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from graph.adapters.migrations import migrate, numbered
from graph.errors import BadProject, Unavailable
from infra.local.schema import FILE, dump


async def test_the_migrations_make_what_the_snapshot_shows(direct_url: str) -> None:
    assert dump(direct_url) == FILE.read_text(), "run `make schema`"


async def test_migrating_twice_and_twice_at_once_applies_each_once(direct_url: str) -> None:
    with psycopg.connect(direct_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")

    both = await asyncio.gather(migrate(direct_url), migrate(direct_url))

    assert sorted(name for applied in both for name in applied) == [f.stem for f in numbered()]
    assert await migrate(direct_url) == []


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0003_c.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(BadProject, match="numbered 1 to 2"):
        numbered(tmp_path)


async def test_an_unreachable_database_is_said_so() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await migrate("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
