"""A full-text index in Postgres of the user's folder of text and Markdown files."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from graph.agents import database
from graph.agents.passages import Piece, cut
from graph.errors import BadInput

SUFFIXES = (".md", ".txt")

# Every word must match; if no passage has them all, any of the words may.
SEARCH = """
WITH terms AS (
    SELECT websearch_to_tsquery('english', %(query)s) AS every_word,
           regexp_replace(
               plainto_tsquery('english', %(query)s)::text, ' (&|<->|<\\d+>) ', ' | ', 'g'
           )::tsquery AS any_word
), strict AS (
    SELECT d.path, d.chunk, d.heading, d.body, ts_rank_cd(d.words, t.every_word) AS rank
      FROM documents d, terms t
     WHERE d.collection = %(collection)s AND d.words @@ t.every_word
), loose AS (
    SELECT d.path, d.chunk, d.heading, d.body, ts_rank_cd(d.words, t.any_word) AS rank
      FROM documents d, terms t
     WHERE d.collection = %(collection)s AND d.words @@ t.any_word
       AND NOT EXISTS (SELECT FROM strict)
)
SELECT path, heading, body AS text, rank
  FROM (SELECT * FROM strict UNION ALL SELECT * FROM loose) AS hits
 ORDER BY rank DESC, path, chunk
 LIMIT %(limit)s
"""

LOCK = "SELECT pg_advisory_xact_lock(hashtext('documents'), hashtext(%s))"
KNOWN = "SELECT DISTINCT path, digest FROM documents WHERE collection = %s"
DELETE = "DELETE FROM documents WHERE collection = %s AND path = ANY(%s)"
INSERT = """
INSERT INTO documents (collection, path, chunk, heading, body, digest)
SELECT %s, * FROM unnest(%s::text[], %s::integer[], %s::text[], %s::text[], %s::text[])
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that matches a query; a higher rank matches better."""

    path: str
    heading: str
    text: str
    rank: float


@dataclass(frozen=True, slots=True)
class Counts:
    """What indexing a folder did, in files, and the passages it wrote."""

    added: int
    changed: int
    unchanged: int
    removed: int
    passages: int


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    digest: str
    pieces: list[Piece]


async def search(query: str, limit: int, *, collection: str = "default") -> list[Passage]:
    """The passages that match best, from the database that DATABASE_URL names."""
    values = {"query": query.replace("\0", " "), "collection": collection, "limit": limit}
    return [Passage(**row) for row in await database.rows(SEARCH, values)]


async def index_folder(
    database_url: str, folder: str | Path, collection: str = "default"
) -> Counts:
    """Make the index equal to the folder's .md and .txt files, in one transaction.

    Raises BadInput for a folder that is missing or a file that is not UTF-8.
    """
    files = await asyncio.to_thread(lambda: list(_read(Path(folder))))
    async with await database.connect(database_url) as connection, connection.transaction():
        await connection.execute(LOCK, (collection,))
        cursor = await connection.execute(KNOWN, (collection,))
        known: dict[str, str] = {row["path"]: row["digest"] for row in await cursor.fetchall()}
        fresh = [file for file in files if known.get(file.path) != file.digest]
        gone = known.keys() - {file.path for file in files}
        stale = [file.path for file in fresh if file.path in known]
        await connection.execute(DELETE, (collection, [*gone, *stale]))
        passages = await _insert(connection, collection, fresh)
    return Counts(
        added=len(fresh) - len(stale),
        changed=len(stale),
        unchanged=len(files) - len(fresh),
        removed=len(gone),
        passages=passages,
    )


async def _insert(connection: database.Connection, collection: str, files: list[_File]) -> int:
    rows = [
        (file.path, chunk, piece.heading, piece.text, file.digest)
        for file in files
        for chunk, piece in enumerate(file.pieces)
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(INSERT, (collection, *columns))
    return len(rows)


def _read(folder: Path) -> Iterator[_File]:
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder: name the one that holds your .md and .txt files")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        data = path.read_bytes()
        try:
            text = data.decode("utf-8-sig").replace("\0", "")
        except UnicodeDecodeError as error:
            raise BadInput(f"{path} is not UTF-8 text: convert it or take it out") from error
        if pieces := cut(text, path.stem):
            yield _File(name.as_posix(), hashlib.sha256(data).hexdigest(), pieces)
