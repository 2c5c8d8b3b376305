"""Forward-only migrations, on the direct endpoint: never through the proxy, never in a request."""

from pathlib import Path

import psycopg

from graph.adapters.functions_role import let_in
from graph.adapters.long_term.vectors import make_vectors
from graph.errors import BadProject, Unavailable

FOLDER = Path(__file__).parents[2] / "infra" / "migrations"
LOCK = 0x626174  # one migration at a time, whoever deploys


def numbered(folder: Path = FOLDER) -> list[Path]:
    """The migrations in order; raises BadProject when a number is missing or doubled."""
    files = sorted(folder.glob("[0-9]*.sql"))
    numbers = [int(file.name[:4]) for file in files]
    if numbers != list(range(1, len(files) + 1)):
        raise BadProject(f"migrations in {folder} are not numbered 1 to {len(files)}: {numbers}")
    return files


async def migrate(database_url: str, *, dims: int | None = None, role: str = "") -> list[str]:
    """Apply what is missing, each in a transaction of its own; the names of what was applied.

    `dims` are those of the embeddings by which the long-term store finds its items, if it does.
    `role` is whom the functions log in as, if it is not the owner.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            database_url, autocommit=True, connect_timeout=10
        )
    except psycopg.OperationalError as error:
        raise Unavailable(f"Postgres cannot be reached: {error}") from error
    async with connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations "
            "(name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        cursor = await connection.execute("SELECT name FROM migrations")
        done = {name for (name,) in await cursor.fetchall()}
        applied = [await _apply(connection, file) for file in numbered() if file.stem not in done]
        applied += await make_vectors(connection, dims) if dims else []
        if role:
            await let_in(connection, role)
        return applied


async def _apply(connection: psycopg.AsyncConnection, file: Path) -> str:
    async with connection.transaction():
        await connection.execute(file.read_bytes())
        await connection.execute("INSERT INTO migrations (name) VALUES (%s)", [file.stem])
    return file.stem
