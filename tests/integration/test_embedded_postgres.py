"""The embedded Postgres: its data stays, and what a killed stack left on it is no obstacle."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from graph.adapters.migrations import migrate
from infra.local.children import Child, Children
from infra.local.cli import main
from infra.local.cluster import Cluster, cluster_in
from infra.local.database import database_of
from infra.local.ledger import Ledger
from infra.local.postgres import postgres


@contextlib.asynccontextmanager
async def children_of(folder: Path) -> AsyncIterator[Children]:
    async with Children(Ledger(folder / "processes.json"), lambda _, line: print(line)) as children:
        yield children


async def ask(url: str, statement: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def test_data_stays(open_folder: Path) -> None:
    async with children_of(open_folder) as children:
        async with postgres(open_folder, children) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
        async with postgres(open_folder, children) as url:
            assert await ask(url, "SELECT n FROM kept") == [(42,)]

    assert (open_folder / "postgres" / "PG_VERSION").exists()


async def test_a_command_finds_the_one_that_runs_and_says_when_none_does(open_folder: Path) -> None:
    def keys(data: Path) -> Result:
        return CliRunner(env={"DATABASE_URL": None}).invoke(
            main, ["keys", "--data", str(data), "list"]
        )

    before = await asyncio.to_thread(keys, open_folder)
    async with children_of(open_folder) as children, postgres(open_folder, children) as url:
        assert database_of(None, open_folder) == url
        assert database_of("postgresql://elsewhere", open_folder) == "postgresql://elsewhere"
        await migrate(url)
        running = await asyncio.to_thread(keys, open_folder)
    after = await asyncio.to_thread(keys, open_folder)

    assert (running.exit_code, running.output) == (0, "")
    for stopped in (before, after):
        assert stopped.exit_code == 1
        assert f"no database runs in {open_folder}: start `baton dev` there" in stopped.output


async def test_nobody_without_the_password_gets_in(open_folder: Path) -> None:
    async with children_of(open_folder) as children, postgres(open_folder, children) as url:
        password = (open_folder / "postgres.password").read_text()
        for wrong in ("", "guess"):
            with pytest.raises(psycopg.OperationalError):
                await ask(url.replace(password, wrong), "SELECT 1")

    assert (open_folder / "postgres.password").stat().st_mode & 0o777 == 0o600


async def test_a_server_that_was_left_running_is_stopped_first(open_folder: Path) -> None:
    async with children_of(open_folder) as children:
        async with postgres(open_folder, children) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
        left = await started(children, cluster_in(open_folder))

        async with postgres(open_folder, children) as url:
            assert await ask(url, "SELECT n FROM kept") == [(42,)]
            assert await left.wait() == "exit status 0"


async def started(children: Children, cluster: Cluster) -> Child:
    """A server outside the stack's care, on the cluster's data."""
    options = (f"--port={cluster.port}", "--unix_socket_directories=")
    child = await children.start(cluster.program("postgres", "-D", cluster.data, *options))
    deadline = time.monotonic() + 20
    lock = cluster.data / "postmaster.pid"
    while not (lock.exists() and "ready" in lock.read_text()):
        assert child.alive
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return child


async def test_a_lock_file_that_names_a_stranger_is_no_obstacle(open_folder: Path) -> None:
    async with children_of(open_folder) as children:
        async with postgres(open_folder, children):
            pass
        (open_folder / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n")

        async with postgres(open_folder, children) as url:
            assert await ask(url, "SELECT 1") == [(1,)]


async def test_half_a_cluster_is_made_anew(open_folder: Path) -> None:
    (open_folder / "postgres.new").mkdir()
    (open_folder / "postgres.new" / "PG_VERSION").write_text("18\n")

    async with children_of(open_folder) as children, postgres(open_folder, children) as url:
        assert await ask(url, "SELECT 1") == [(1,)]

    assert not (open_folder / "postgres.new").exists()


async def test_a_private_folder_of_roots_keeps_its_data_where_the_server_can_reach_it(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = open_folder / "private" / "data"
    private.mkdir(parents=True)
    private.parent.chmod(0o700)
    monkeypatch.setattr("infra.local.cluster.ELSEWHERE", open_folder / "elsewhere")

    async with children_of(private) as children:
        async with postgres(private, children) as url:
            await ask(url, "CREATE TABLE kept AS SELECT 42 AS n")
        async with postgres(private, children) as url:
            assert await ask(url, "SELECT n FROM kept") == [(42,)]

    moved = os.geteuid() == 0
    assert (open_folder / "elsewhere").exists() == moved
    assert (private / "postgres").exists() != moved
