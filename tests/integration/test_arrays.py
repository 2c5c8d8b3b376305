"""Columns of rows reach Postgres as the arrays they stand for, whatever is in them."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from graph.adapters.postgres.arrays import Bytes, Column, ColumnDumper, Documents, Ints, Texts

TEXTS = ["", "ns", 'a "quoted", {braced} \\ one', "Grüße 🜁", "NULL", None]
COLUMNS: list[tuple[Column, str]] = [
    (Texts(TEXTS), "text"),
    (Bytes([b"", b"\0\xff\\x", None]), "bytea"),
    (Documents([Jsonb({"a": ["ü", None]}), None, Jsonb([])]), "jsonb"),
    (Ints([0, -(2**63), 2**63 - 1, None]), "bigint"),
]


@pytest.fixture
def connection(direct_url: str) -> Any:
    with psycopg.connect(direct_url, autocommit=True) as connection:
        connection.adapters.register_dumper(Column, ColumnDumper)
        yield connection


def arrived(connection: psycopg.Connection[Any], column: Column) -> Any:
    """The type that Postgres takes it for, and what is in it."""
    return connection.execute("SELECT pg_typeof(%(c)s)::text, %(c)s", {"c": column}).fetchone()


@pytest.mark.parametrize(("column", "of"), COLUMNS)
def test_a_column_arrives_as_it_is(
    connection: psycopg.Connection[Any], column: Column, of: str
) -> None:
    values = [one.obj if isinstance(one, Jsonb) else one for one in column]

    assert arrived(connection, column) == (f"{of}[]", values)


@pytest.mark.parametrize(("column", "of"), COLUMNS)
@pytest.mark.parametrize("values", [[], [None], [None, None]])
def test_a_column_has_its_type_with_nothing_in_it_that_would_tell(
    connection: psycopg.Connection[Any], column: Column, of: str, values: list[None]
) -> None:
    assert arrived(connection, type(column)(values)) == (f"{of}[]", values)


def test_texts_are_sent_as_the_connection_reads_them(direct_url: str) -> None:
    with psycopg.connect(direct_url, client_encoding="latin1") as connection:
        connection.adapters.register_dumper(Column, ColumnDumper)
        assert arrived(connection, Texts(["Grüße"])) == ("text[]", ["Grüße"])
        (length,) = connection.execute(
            "SELECT octet_length((%s)[1])", [Texts(["ü"])]
        ).fetchone() or (0,)
    assert length == 2  # as the database keeps it


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        (Texts(["a\0b"]), psycopg.DataError),
        (Ints([2**63]), OverflowError),
    ],
)
def test_what_has_no_place_in_a_column_is_refused(
    connection: psycopg.Connection[Any], column: Column, wrong: type[Exception]
) -> None:
    with pytest.raises(wrong):
        arrived(connection, column)
