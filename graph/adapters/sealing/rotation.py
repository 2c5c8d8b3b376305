"""Everything that is stored, sealed anew with the first key: beside running steps, row by row.

A row is changed only as it was read, which its xmin tells, and never waited for: whoever writes it
meanwhile has the last word, and seals with the keys that they have.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.sealing.cipher import Cipher, key_of
from graph.adapters.sealing.columns import TABLES, Table
from graph.adapters.sealing.forms import MARKED, Data, Text, Typed
from graph.adapters.sealing.keys import PLAIN
from graph.errors import KeyMissing, Tampered, Unavailable

BATCH = 100  # rows read, and changed in one transaction


@dataclass(slots=True)
class Walked:
    """How far a walk through a table is."""

    table: str
    changed: int = 0
    # Rows that were not changed, by the keys that sealed them: they were in use, or do not open.
    left: Counter[str] = field(default_factory=Counter)


async def rotate(
    db: Database, *, batch: int = BATCH, tables: Iterable[str] = TABLES
) -> AsyncGenerator[Walked, None]:
    """Walk through the tables, and tell after each batch how far it is.

    What was done is not done again: after a kill it is begun anew, and finds what is left.
    """
    for name in tables:
        walked, after = Walked(name), None
        while True:
            table = TABLES[name]
            rows = await _read(db, name, after, batch)
            await _change(db, rows, walked)
            yield walked
            if len(rows) < batch:
                break
            after = [rows[-1][column] for column in table.key]


async def _read(db: Database, name: str, after: list[Any] | None, batch: int) -> list[DictRow]:
    table = TABLES[name]
    key = ", ".join(f"t.{column}" for column in table.key)
    further = f"({key}) > ({', '.join(['%s'] * len(table.key))})" if after else "true"
    statement = f"""
        SELECT {", ".join(f"t.{c}" for c in (*table.key, *_stored(table)))},
               t.xmin::text AS seen, {table.owner} AS whose
          FROM {name} t WHERE {further} AND ({_to_seal(table, db.seals.cipher)})
         ORDER BY {key} LIMIT {batch}"""
    connection = await db.connection()
    try:
        cursor = await connection.execute(statement.encode(), after or [], binary=True)
        return await cursor.fetchall()
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"Postgres failed in {name}: {error}") from error


def _to_seal(table: Table, cipher: Cipher) -> str:
    """What Postgres can tell of a row to seal: its bytes do not begin as the first key's do."""
    data = [column for column, form in table.columns.items() if isinstance(form, Data | Typed)]
    if not data or cipher.first is None:
        return "true"
    mark = f"{len(cipher.first):02x}{cipher.first.encode().hex()}"
    return " OR ".join(
        f"substring(t.{c} from 1 for 1) || substring(t.{c} from 3 for {len(mark) // 2})"
        rf" <> '\xc1{mark}'"
        for c in data
    )


async def _change(db: Database, rows: list[DictRow], walked: Walked) -> None:
    """Write those of the rows anew that have to be, in one transaction."""
    table, connection = TABLES[walked.table], await db.connection()
    sent = []
    try:
        async with connection.pipeline():
            for row in rows:
                stored = _values(row, table)
                try:
                    anew = _anew(stored, table, db.seals.cipher, row["whose"] or "")
                except (KeyMissing, Tampered):
                    walked.left.update(_keys_in(list(stored.values())))
                    continue
                if anew:
                    statement, params = _update(walked.table, row, anew)
                    cursor = await connection.execute(statement.encode(), params)
                    sent.append((stored, cursor))
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"Postgres failed in {walked.table}: {error}") from error
    for stored, cursor in sent:
        walked.changed += cursor.rowcount
        if not cursor.rowcount:
            walked.left.update(_keys_in(list(stored.values())))


def _anew(stored: dict[str, Any], table: Table, cipher: Cipher, owner: str) -> dict[str, Any]:
    """The columns that change."""
    anew = {
        column: table.columns[column].anew(value, cipher, owner)
        for column, value in stored.items()
        if value is not None and _seals(value) != cipher.first
    }
    return {column: new for column, new in anew.items() if _seals(new) != _seals(stored[column])}


def _update(name: str, row: DictRow, anew: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The row as it was seen, unless somebody has it in hand."""
    table, sets = TABLES[name], dict[str, Any]()
    for column, value in anew.items():
        form = table.columns[column]
        if isinstance(form, Typed):
            sets |= {_kind_of(column): value[0].decode(), column: value[1]}
        else:
            sets[column] = value if isinstance(form, Data | Text) else Jsonb(value)
    where = " AND ".join(f"{column} = %s" for column in table.key)
    statement = f"""
        UPDATE {name} t SET {", ".join(f"{column} = %s" for column in sets)}
          FROM (SELECT ctid FROM {name} WHERE {where} AND xmin::text = %s
                   FOR UPDATE SKIP LOCKED) mine
         WHERE t.ctid = mine.ctid"""
    return statement, [*sets.values(), *(row[column] for column in table.key), row["seen"]]


def _values(row: DictRow, table: Table) -> dict[str, Any]:
    """The sealed columns; of typed bytes with their kind."""
    return {
        column: [row[_kind_of(column)].encode(), row[column]]
        if isinstance(form, Typed) and row[column] is not None
        else row[column]
        for column, form in table.columns.items()
    }


def _stored(table: Table) -> list[str]:
    kinds = [_kind_of(c) for c, form in table.columns.items() if isinstance(form, Typed)]
    return [*table.columns, *kinds]


def _kind_of(column: str) -> str:
    return column.replace("data", "kind")


def _seals(value: Any) -> Any:
    """A value with the ids of keys in place of what they sealed, None in place of the rest."""
    if isinstance(value, dict):
        return {key: _seals(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return key_of(value[1]) if value[0].startswith(MARKED) else None
    if isinstance(value, list):
        return [_seals(inner) for inner in value]
    return key_of(value) if isinstance(value, bytes | str) else None


def _keys_in(stored: Any) -> set[str]:
    """The keys that a row is sealed with."""
    seals = [_seals(value) for value in stored]
    return set(_flat(seals)) or {PLAIN}


def _flat(seals: Any) -> Iterator[str]:
    if isinstance(seals, str):
        yield seals
    elif isinstance(seals, dict | list):
        for inner in seals.values() if isinstance(seals, dict) else seals:
            yield from _flat(inner)
