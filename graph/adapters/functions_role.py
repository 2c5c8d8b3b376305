"""The role that functions log in as: it reads and writes rows, and owns no table."""

import psycopg
from psycopg import sql

TAKES_TOKENS = "rds_iam"  # RDS has it: whose members log in with IAM tokens, never a password
STATEMENTS = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "REVOKE ALL ON migrations FROM {role}",
)


async def let_in(connection: psycopg.AsyncConnection, role: str) -> None:
    """Make the role if it is missing, and let it use all tables that there are now."""
    known = await _roles(connection, role, TAKES_TOKENS)
    statements = [*STATEMENTS]
    if TAKES_TOKENS in known:
        statements.append("GRANT {tokens} TO {role}")
    if role not in known:
        statements.insert(0, "CREATE ROLE {role} LOGIN")
    names = {"role": sql.Identifier(role), "tokens": sql.Identifier(TAKES_TOKENS)}
    async with connection.transaction():
        for statement in statements:
            await connection.execute(sql.SQL(statement).format(**names))


async def _roles(connection: psycopg.AsyncConnection, *names: str) -> set[str]:
    asked = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
    cursor = await connection.execute(asked, [list(names)])
    return {str(name) for (name,) in await cursor.fetchall()}
