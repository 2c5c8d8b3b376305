"""The embedded Postgres: the wheel's programs, on a loopback port, over a folder that stays."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
from psycopg import sql

from infra.local.children import CannotStart, Children
from infra.local.cluster import ADMIN, Cluster, cluster_in
from infra.local.kept import Server, kept
from infra.local.ledger import Entry, end, start_of

DATABASE = "baton"
POLL = 0.02


@contextlib.asynccontextmanager
async def postgres(folder: Path, children: Children) -> AsyncIterator[str]:
    """The URL of Baton's database; the server keeps its data in the folder."""
    cluster = cluster_in(folder)
    if cluster.home != folder:
        children.say(
            "postgres", f"{cluster.user} may not enter {folder}: data is in {cluster.home}"
        )
    _settle(cluster)
    if not (cluster.data / "PG_VERSION").exists():
        await _create(cluster, children)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(cluster.port),
        "unix_socket_directories": "",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]

    async def ready() -> None:
        while not await _answers(cluster):
            await asyncio.sleep(POLL)

    log = folder / "postgres.log"
    log.write_text("")

    def note(_: str, line: str) -> None:
        with log.open("a") as file:  # it may say something until the very end
            file.write(f"{line}\n")

    program = cluster.program("postgres", "-D", cluster.data, *options)
    async with kept(Server(program, ready, note), children):
        await _ensure_database(cluster)
        yield cluster.url(DATABASE)


def _settle(cluster: Cluster) -> None:
    """Stop a server that still runs on the data, forget one that is gone."""
    lock = cluster.data / "postmaster.pid"
    if not lock.exists():
        return
    lines = lock.read_text().splitlines()
    pid = int(lines[0]) if lines and lines[0].isdigit() else 0
    started = start_of(pid) if pid and _serves(pid, cluster.data) else None
    if started is not None:
        end(Entry(pid, started, "postgres", signal.SIGINT))
    lock.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", data)
    except OSError:  # gone, or no /proc: the ledger has ended what is ours
        return False


async def _create(cluster: Cluster, children: Children) -> None:
    """Make the cluster beside its place and move it there, so that half of one is never used."""
    new = cluster.home / "postgres.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    secret = cluster.home / "postgres.secret"
    secret.touch(mode=0o600)
    secret.write_text(cluster.password)
    cluster.own(new)
    cluster.own(secret)
    who = (f"--username={ADMIN}", "--auth=scram-sha-256", f"--pwfile={secret}")
    how = ("--encoding=UTF8", "--no-locale", "--no-sync")
    heard: list[str] = []
    initdb = await children.start(
        cluster.program("initdb", "-D", new, *who, *how), say=lambda _, line: heard.append(line)
    )
    ended = await initdb.wait()
    await initdb.lines.ended.wait()
    secret.unlink()
    if not (new / "PG_VERSION").exists() or ended != "exit status 0":
        raise CannotStart(f"initdb failed ({ended}): {' '.join(heard[-3:])}")
    new.rename(cluster.data)


async def _answers(cluster: Cluster) -> bool:
    try:
        url = cluster.url(ADMIN)
        await (await psycopg.AsyncConnection.connect(url, connect_timeout=5)).close()
    except psycopg.OperationalError:
        return False
    return True


async def _ensure_database(cluster: Cluster) -> None:
    url = cluster.url(ADMIN)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        known = "SELECT 1 FROM pg_database WHERE datname = %s"
        if await (await connection.execute(known, [DATABASE])).fetchone() is None:
            create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE))
            await connection.execute(create)
