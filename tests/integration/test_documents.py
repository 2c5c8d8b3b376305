"""The documents index on a real Postgres, indexed directly and searched through pgbouncer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from graph import PermanentFailure
from graph.agents import database as agents_database
from graph.agents import documents, research
from graph.agents.documents import Counts
from graph.errors import BadInput
from infra.local.messages import MessagesServer
from tests.fixtures.offline import offline as offline

DEMO = Path(documents.__file__).parents[2] / "infra" / "local" / "documents"


@pytest.fixture
async def database(
    database_url: str, direct_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The database, by its direct URL; `search` goes through the proxy."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    yield direct_url
    await agents_database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "lamps.md").write_text("# Lamps\nOil lamps burned whale oil.\n# Wicks\nTrim them.")
    (tmp_path / "deep" / "fog.txt").write_text("A horn sounded in the fog.")
    return tmp_path


async def rows(url: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "SELECT collection, path, chunk, heading, body FROM documents ORDER BY 1, 2, 3"
        )
        return await cursor.fetchall()


async def found(query: str, limit: int = 5, **options: str) -> list[str]:
    return [hit.text for hit in await documents.search(query, limit, **options)]


async def test_a_folder_is_indexed_by_passage(database: str, folder: Path) -> None:
    counts = await documents.index_folder(database, folder)
    assert counts == Counts(added=2, changed=0, unchanged=0, removed=0, passages=3)
    assert await rows(database) == [
        ("default", "deep/fog.txt", 0, "fog", "A horn sounded in the fog."),
        ("default", "lamps.md", 0, "Lamps", "Oil lamps burned whale oil."),
        ("default", "lamps.md", 1, "Wicks", "Trim them."),
    ]


async def test_indexing_again_changes_nothing(database: str, folder: Path) -> None:
    await documents.index_folder(database, folder)
    before = await rows(database)
    again = await documents.index_folder(database, folder)
    assert again == Counts(added=0, changed=0, unchanged=2, removed=0, passages=0)
    assert await rows(database) == before


async def test_changed_files_are_replaced_and_vanished_ones_removed(
    database: str, folder: Path
) -> None:
    await documents.index_folder(database, folder)
    (folder / "lamps.md").write_text("# Lamps\nOnly candles.")
    (folder / "deep" / "fog.txt").unlink()
    (folder / "new.md").write_text("Radio beacons.")
    counts = await documents.index_folder(database, folder)
    assert counts == Counts(added=1, changed=1, unchanged=0, removed=1, passages=2)
    assert [(row[1], row[4]) for row in await rows(database)] == [
        ("lamps.md", "Only candles."),
        ("new.md", "Radio beacons."),
    ]


async def test_collections_do_not_touch_each_other(database: str, folder: Path) -> None:
    await documents.index_folder(database, folder)
    (folder / "lamps.md").unlink()
    await documents.index_folder(database, folder, "other")
    assert await found("whale") == ["Oil lamps burned whale oil."]
    assert await found("whale", collection="other") == []
    assert await found("horn", collection="other") == ["A horn sounded in the fog."]


async def test_two_indexers_at_once_agree(database: str, folder: Path) -> None:
    counts = await asyncio.gather(*(documents.index_folder(database, folder) for _ in range(4)))
    assert sorted(count.added for count in counts) == [0, 0, 0, 2]
    assert len(await rows(database)) == 3


async def test_only_readable_text_is_taken(database: str, folder: Path) -> None:
    (folder / "lamps.md").write_bytes(b"\xef\xbb\xbfNUL \x00 byte")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "empty.md").write_text("\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "notes.md").write_text("Hidden.")
    await documents.index_folder(database, folder)
    assert [(row[1], row[4]) for row in await rows(database)] == [
        ("deep/fog.txt", "A horn sounded in the fog."),
        ("lamps.md", "NUL  byte"),
    ]


async def test_a_file_that_is_not_text_is_named_and_nothing_changes(
    database: str, folder: Path
) -> None:
    await documents.index_folder(database, folder)
    before = await rows(database)
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "lamps.md").unlink()
    with pytest.raises(BadInput, match=r"latin\.txt is not UTF-8"):
        await documents.index_folder(database, folder)
    assert await rows(database) == before


async def test_a_missing_folder_is_named(database: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere is not a folder"):
        await documents.index_folder(database, tmp_path / "nowhere")


async def test_search_ranks_and_bounds_what_it_finds(database: str, tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / f"{n}.md").write_text(f"# Part {n}\nThe lamp has a lens.")
    (tmp_path / "lens.md").write_text("# The lens\nIt bends the light of a lens.")
    await documents.index_folder(database, tmp_path)
    hits = await documents.search("the lens", 3)
    assert [hit.path for hit in hits] == ["lens.md", "0.md", "1.md"]
    assert hits[0].heading == "The lens"
    assert [hit.rank for hit in hits] == sorted((hit.rank for hit in hits), reverse=True)


async def test_every_word_must_match_unless_nothing_has_them_all(
    database: str, folder: Path
) -> None:
    await documents.index_folder(database, folder)
    assert await found("whale lamps") == ["Oil lamps burned whale oil."]
    assert set(await found("whale fog")) == {
        "Oil lamps burned whale oil.",
        "A horn sounded in the fog.",
    }
    assert await found("fog-horn zeppelin") == ["A horn sounded in the fog."]
    assert await found('"whale oil" -burned') == ["Oil lamps burned whale oil."]


@pytest.mark.parametrize("query", ["", "  ", "the of", "zeppelin", "\0", "'); --", "& | ! <->"])
async def test_a_query_without_a_match_finds_nothing(
    database: str, folder: Path, query: str
) -> None:
    await documents.index_folder(database, folder)
    assert await found(query) == []


async def test_searches_at_once_share_one_connection(database: str, folder: Path) -> None:
    await documents.index_folder(database, folder)
    results = await asyncio.gather(*(found("whale") for _ in range(20)))
    assert results == [["Oil lamps burned whale oil."]] * 20
    async with await psycopg.AsyncConnection.connect(database) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await cursor.fetchone() == (1,)


async def test_search_opens_a_new_connection_when_its_own_was_cut(
    database: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    await documents.index_folder(database, folder)
    await found("whale")
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as admin:
        cursor = await admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await cursor.fetchone() == (1,)
    assert await found("whale") == ["Oil lamps burned whale oil."]


async def test_an_error_of_the_query_is_not_hidden(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("DROP TABLE documents")
    with pytest.raises(psycopg.errors.UndefinedTable):
        await documents.search("whale", 1)


async def test_search_without_a_database_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(PermanentFailure, match="DATABASE_URL"):
        await documents.search("whale", 1)


async def test_search_uses_the_index(database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute(
            "INSERT INTO documents (path, chunk, heading, body, digest)"
            " SELECT n::text, 0, 'h', 'word' || n || ' and more', 'd'"
            " FROM generate_series(1, 5000) n"
        )
        await connection.execute("ANALYZE documents")
        values = {"query": "word77 more", "collection": "default", "limit": 4}
        cursor = await connection.execute("EXPLAIN " + documents.SEARCH, values)
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert "documents_words" in plan
    assert "Seq Scan on documents" not in plan


async def test_the_agent_researches_the_demo_documents(
    database: str, offline: MessagesServer
) -> None:
    counts = await documents.index_folder(database, DEMO)
    assert (counts.added, counts.removed) == (10, 0)
    question = "How did the Fresnel lens change lighthouses, and what did keepers do in fog?"
    state = await research.graph.compile().ainvoke({"question": question})
    assert state["rounds"] >= 2
    assert "fresnel-lens.md" in state["report"]
    assert "fog-signals.md" in state["report"]
    assert "offline-extractive" in state["report"]
