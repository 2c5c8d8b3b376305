"""The role that functions log in as: it reads and writes rows, and owns no table."""

import psycopg
from psycopg import sql

TAKES_TOKENS = "rds_iam"  # RDS has it: whose members log in with IAM tokens, never a password
# Roles belong to the server: another of its databases may be migrated at the same time.
MAKE = (
    "DO $$BEGIN CREATE ROLE {role} LOGIN; "
    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$"
)
STATEMENTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "REVOKE ALL ON migrations FROM {role}",
)


async def let_in(connection: psycopg.AsyncConnection, role: str) -> None:
    """Make the role if it is missing, and let it use all tables that there are now.

    Does nothing for the owner's own role, who may use them already.
    """
    if role == connection.info.user:
        return
    known = await _roles(connection, role, TAKES_TOKENS)
    statements = [*STATEMENTS]
    if TAKES_TOKENS in known:
        statements.append("GRANT {tokens} TO {role}")
    if role not in known:
        statements.insert(0, MAKE)
    names = {"role": sql.Identifier(role), "tokens": sql.Identifier(TAKES_TOKENS)}
    async with connection.transaction():
        for statement in statements:
            await connection.execute(sql.SQL(statement).format(**names))


async def _roles(connection: psycopg.AsyncConnection, *names: str) -> set[str]:
    asked = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
    cursor = await connection.execute(asked, [list(names)])
    return {str(name) for (name,) in await cursor.fetchall()}
