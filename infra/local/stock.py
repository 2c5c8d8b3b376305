"""Threads in the tables of LangGraph's own PostgresSaver, read and never written."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointTuple
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from psycopg.rows import DictRow, dict_row

from graph.runtime.checkpoints import config_of
from graph.runtime.models import WriteRow
from infra.local.children import CannotStart

Type = tuple[str, str]  # module, name


@dataclass(frozen=True, slots=True)
class Place:
    """Where a checkpoint is in its thread."""

    ns: str
    checkpoint_id: str


class Source:
    """One stock database."""

    def __init__(
        self, connection: psycopg.AsyncConnection[DictRow], serde: SerializerProtocol
    ) -> None:
        self.connection = connection
        self.saver = AsyncPostgresSaver(connection, serde=serde)

    async def threads(self) -> Sequence[str]:
        """The ids of all threads."""
        rows = await self._all("SELECT DISTINCT thread_id FROM checkpoints ORDER BY 1")
        return [row["thread_id"] for row in rows]

    async def places(self, thread_id: str) -> Sequence[Place]:
        """A thread's checkpoints in the order they were made, all namespaces."""
        rows = await self._all(
            "SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = %s"
            " ORDER BY checkpoint_id, checkpoint_ns",
            thread_id,
        )
        return [Place(row["checkpoint_ns"], row["checkpoint_id"]) for row in rows]

    async def read(self, thread_id: str, place: Place) -> CheckpointTuple:
        """A checkpoint, its values built, its versions as Baton numbers them."""
        at = config_of(thread_id, place.ns, place.checkpoint_id)
        found = await self.saver.aget_tuple(at)
        assert found is not None, "stock savers do not delete checkpoints of a thread in use"
        return found._replace(checkpoint=numbered(found.checkpoint))

    async def writes(self, thread_id: str, place: Place) -> Sequence[WriteRow]:
        """Its pending writes as they are stored."""
        rows = await self._all(
            "SELECT task_id, task_path, idx, channel, type, blob FROM checkpoint_writes"
            " WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s",
            thread_id,
            place.ns,
            place.checkpoint_id,
        )
        return [
            WriteRow(
                place.ns,
                place.checkpoint_id,
                row["task_id"],
                row["task_path"],
                row["idx"],
                row["channel"],
                row["type"] or "",
                row["blob"],
            )
            for row in rows
        ]

    async def _all(self, text: Any, *params: str) -> list[DictRow]:
        cursor = await self.connection.execute(text, params, binary=True)
        return await cursor.fetchall()


@asynccontextmanager
async def stock(url: str, serde: SerializerProtocol) -> AsyncIterator[Source]:
    """The database, if it is one of LangGraph's; raises CannotStart.

    Read only, and nothing is prepared: a proxy may be in between.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=None, row_factory=dict_row, connect_timeout=10
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise CannotStart(f"--from: {error}") from error
    async with connection:
        try:
            await connection.execute("SELECT task_path FROM checkpoint_writes LIMIT 0")
            await connection.execute("SELECT checkpoint_ns, type FROM checkpoints LIMIT 0")
            await connection.execute("SELECT version FROM checkpoint_blobs LIMIT 0")
        except psycopg.errors.UndefinedTable as error:
            raise CannotStart(
                "--from: the database has no tables of LangGraph's PostgresSaver"
            ) from error
        except psycopg.errors.UndefinedColumn as error:
            raise CannotStart(
                "--from: the tables are of an older PostgresSaver: run the setup() of "
                "langgraph-checkpoint-postgres 3 on them first"
            ) from error
        yield Source(connection, serde)


@contextmanager
def refused_types() -> Iterator[set[Type]]:
    """Collects the types that were met in the block and are not allowed: they are not built."""
    refused: set[Type] = set()

    def note(event: SerdeEvent) -> None:
        if event["kind"].endswith("_blocked"):
            refused.add((event["module"], event["name"]))

    unregister = register_serde_event_listener(note)
    try:
        yield refused
    finally:
        unregister()


def numbered(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with versions that are numbers: PostgresSaver's are `number.random`."""
    seen = {node: _numbers(of) for node, of in checkpoint["versions_seen"].items()}
    versions = _numbers(checkpoint["channel_versions"])
    return checkpoint | {"channel_versions": versions, "versions_seen": seen}


def _numbers(versions: Mapping[str, Any]) -> ChannelVersions:
    return {channel: int(str(version).partition(".")[0]) for channel, version in versions.items()}
