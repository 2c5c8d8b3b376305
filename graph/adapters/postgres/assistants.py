"""The assistants' statements."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from graph.adapters.postgres.database import Database
from graph.adapters.postgres.searches import page_of
from graph.runtime.models import Assistant, AssistantChange, AssistantQuery, Json


class Assistants:
    """`AssistantStore` in Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def create_assistant(self, new: Assistant) -> Assistant | None:
        return await self._one("create_assistant", new.assistant_id, new.owner, **_content(new))

    async def get_assistant(self, assistant_id: str, owner: str) -> Assistant | None:
        return await self._one("get_assistant", assistant_id, owner)

    async def update_assistant(
        self, assistant_id: str, owner: str, change: AssistantChange
    ) -> Assistant | None:
        return await self._one("update_assistant", assistant_id, owner, **_content(change))

    async def set_latest(self, assistant_id: str, owner: str, version: int) -> Assistant | None:
        return await self._one("set_latest", assistant_id, owner, version=version)

    async def list_versions(
        self, assistant_id: str, owner: str, *, metadata: Json, limit: int, offset: int
    ) -> list[Assistant]:
        params = {
            **_key(assistant_id, owner),
            "holds": Jsonb(metadata),
            "limit": limit,
            "offset": offset,
        }
        return [_assistant(row) for row in await self.db.all("list_versions", params)]

    async def search_assistants(
        self, owner: str, query: AssistantQuery, others: Sequence[Assistant]
    ) -> tuple[list[Assistant], int]:
        rows, total = await page_of(
            self.db,
            "assistants",
            query,
            owner=owner,
            others=Jsonb(list(others), dumps=orjson.dumps),
            holds=Jsonb(query.metadata),
            graph_id=query.graph_id,
            name=query.name,
        )
        return [_assistant(row) for row in rows], total

    async def delete_assistant(self, assistant_id: str, owner: str, *, with_threads: bool) -> bool:
        params = {**_key(assistant_id, owner), "with_threads": with_threads}
        return await self.db.one("delete_assistant", params) is not None

    async def _one(
        self, statement: str, assistant_id: str, owner: str, **params: Any
    ) -> Assistant | None:
        row = await self.db.one(statement, {**_key(assistant_id, owner), **params})
        return None if row is None else _assistant(row)


def _key(assistant_id: str, owner: str) -> dict[str, Any]:
    return {"assistant_id": assistant_id, "owner": owner}


def _content(said: Assistant | AssistantChange) -> dict[str, Any]:
    """What versions differ in; null says nothing."""
    as_json = {name: getattr(said, name) for name in ("config", "context", "metadata")}
    return {
        "graph_id": said.graph_id,
        "name": said.name,
        "description": said.description,
        **{name: None if value is None else Jsonb(value) for name, value in as_json.items()},
    }


def _assistant(row: Mapping[str, Any]) -> Assistant:
    return Assistant(**{name: row[name] for name in Assistant.__slots__})
