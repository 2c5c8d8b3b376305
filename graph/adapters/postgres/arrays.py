"""A column of rows, as the array that Postgres is sent.

psycopg looks at the elements of a plain list, to find out what they are, and sends them as text
that it quotes: for the few rows of a step that took as long as all else that it does.
"""

import struct
from typing import Any, ClassVar

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import PyFormat, RecursiveDumper
from psycopg.postgres import types
from psycopg.pq import Format
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int8

HEAD = struct.Struct("!iiIii").pack  # dimensions, whether there are nulls, of what, how many, from
EMPTY = struct.Struct("!iiI").pack
LENGTH = struct.Struct("!i").pack
NULL = LENGTH(-1)


class Column(list[Any]):
    """Values of one type, or None."""

    like: ClassVar[Any]  # such a value


class Texts(Column):
    like = ""


class Bytes(Column):
    like = b""


class Documents(Column):
    like = Jsonb(None)


class Ints(Column):
    like = Int8(0)


class ColumnDumper(RecursiveDumper):
    """In Postgres' binary form, each element as psycopg would send it by itself."""

    format = Format.BINARY

    def __init__(self, cls: type[Column], context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self._element = self._tx.get_dumper(cls.like, PyFormat.BINARY)
        self.oid = types[self._element.oid].array_oid

    def dump(self, obj: Column) -> bytes:
        if not obj:
            return EMPTY(0, 0, self._element.oid)
        parts: list[Buffer] = [HEAD(1, None in obj, self._element.oid, len(obj), 1)]
        for one in obj:
            data = None if one is None else self._element.dump(one)
            parts += (NULL,) if data is None else (LENGTH(len(data)), data)
        return b"".join(parts)
