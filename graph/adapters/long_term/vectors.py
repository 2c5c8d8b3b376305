"""The table of embeddings, made by `migrate` when langgraph.json configures an index."""

import logging

import psycopg

from graph.errors import BadProject

log = logging.getLogger("baton.store")

# As langgraph-checkpoint-postgres has it, without the index over the vectors: its searches are
# within a namespace and cannot use one.
TABLE = """
CREATE TABLE store_vectors (
    prefix     text NOT NULL,
    key        text NOT NULL,
    field_name text NOT NULL,
    embedding  vector({dims}),
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (prefix, key, field_name),
    FOREIGN KEY (prefix, key) REFERENCES store (prefix, key) ON DELETE CASCADE
)"""
DIMS = """
SELECT atttypmod AS dims FROM pg_attribute
 WHERE attrelid = to_regclass('store_vectors') AND attname = 'embedding'"""
AVAILABLE = "SELECT FROM pg_available_extensions WHERE name = 'vector'"


async def make_vectors(connection: psycopg.AsyncConnection, dims: int) -> list[str]:
    """Make the table if it is missing and pgvector is there; the name of what was made.

    Raises BadProject when there is one for other embeddings, or no right to make it.
    """
    found = await (await connection.execute(DIMS)).fetchone()
    if found is not None:
        if found[0] != dims:
            raise BadProject(
                f"store.index.dims is {dims}, the table store_vectors was made for {found[0]}: "
                "drop it, migrate again, and put the items again that are to be found by meaning"
            )
        return []
    if await (await connection.execute(AVAILABLE)).fetchone() is None:
        log.warning("this Postgres has no pgvector: items will not be found by meaning")
        return []
    try:
        async with connection.transaction():
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            await connection.execute(TABLE.format(dims=int(dims)).encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise BadProject(
            f"store.index needs pgvector, and the migrating user may not install it: {error}"
        ) from error
    return [f"store_vectors({dims})"]
