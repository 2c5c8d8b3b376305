"""Functions log in as a role that reads and writes rows, and owns nothing."""

import asyncio
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from graph.adapters.migrations import migrate
from tests.fixtures.postgres import FUNCTIONS, Server, database

TAKES_TOKENS = "rds_iam"


@pytest.fixture
def owner(direct_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(direct_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def functions(direct_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(direct_url, user=FUNCTIONS, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role(owner: psycopg.Connection) -> Iterator[str]:
    """A name that no role has yet; roles belong to the server, not to a database."""
    name = f"role_{uuid.uuid4().hex[:8]}"
    yield name
    for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
        owner.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE threads",
        "TRUNCATE threads",
        "ALTER TABLE threads ADD COLUMN mine text",
        "CREATE TABLE mine (id int)",
        "CREATE OR REPLACE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT * FROM migrations",
        "CREATE ROLE mine",
    ],
)
def test_functions_change_rows_and_nothing_else(
    functions: psycopg.Connection, statement: str
) -> None:
    functions.execute("SELECT count(*) FROM threads")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        functions.execute(statement)


async def test_migrating_again_lets_them_use_what_is_new(
    direct_url: str, owner: psycopg.Connection, functions: psycopg.Connection
) -> None:
    owner.execute("CREATE TABLE newer (id int)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        functions.execute("SELECT * FROM newer")

    assert await migrate(direct_url, role=FUNCTIONS) == []

    functions.execute("INSERT INTO newer VALUES (1)")


async def test_a_role_is_made_once_by_two_at_once_whatever_its_name(
    direct_url: str, owner: psycopg.Connection, role: str
) -> None:
    await asyncio.gather(migrate(direct_url, role=role), migrate(direct_url, role=role))

    known = owner.execute("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = %s", [role])
    assert known.fetchall() == [(True, False)]


async def test_two_databases_of_a_server_make_it_at_once(
    postgres_server: Server, template_database: str, direct_url: str, role: str
) -> None:
    with database(postgres_server, template_database) as other:
        urls = [direct_url, postgres_server.url(other)]
        await asyncio.gather(*(migrate(url, role=role) for url in urls))

        for url in urls:
            with psycopg.connect(url, user=role) as connection:
                connection.execute("SELECT count(*) FROM threads")


async def test_an_owner_who_names_itself_keeps_what_it_may(
    direct_url: str, owner: psycopg.Connection
) -> None:
    for _ in range(2):
        assert await migrate(direct_url, role=owner.info.user) == []


async def test_where_there_are_iam_tokens_the_role_takes_them(
    direct_url: str, owner: psycopg.Connection, role: str
) -> None:
    owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(TAKES_TOKENS)))
    try:
        await migrate(direct_url, role=role)
        member = owner.execute("SELECT pg_has_role(%s, %s, 'member')", [role, TAKES_TOKENS])
        assert member.fetchone() == (True,)
    finally:
        owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(TAKES_TOKENS)))
