"""Assistants on memory."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

from graph.adapters.memory.tables import MemoryTables
from graph.runtime.containment import contains
from graph.runtime.models import Assistant, AssistantChange, AssistantQuery, Json


class MemoryAssistants(MemoryTables):
    """`AssistantStore` on memory."""

    async def create_assistant(self, new: Assistant) -> Assistant | None:
        key = (new.owner, new.assistant_id)
        if key in self.tables.assistants:
            return None
        now = self.clock()
        made = replace(deepcopy(new), version=1, created_at=now, updated_at=now)
        self.tables.assistants[key] = made
        self.tables.versions[key] = [made]
        return deepcopy(made)

    async def get_assistant(self, assistant_id: str, owner: str) -> Assistant | None:
        return deepcopy(self.tables.assistants.get((owner, assistant_id)))

    async def update_assistant(
        self, assistant_id: str, owner: str, change: AssistantChange
    ) -> Assistant | None:
        key = (owner, assistant_id)
        if key not in self.tables.assistants:
            return None
        before, versions = self.tables.assistants[key], self.tables.versions[key]
        said = {name: value for name, value in asdict(change).items() if value is not None}
        said["metadata"] = {**before.metadata, **(change.metadata or {})}
        now = self.clock()
        made = replace(before, **deepcopy(said), version=len(versions) + 1, updated_at=now)
        self.tables.assistants[key] = made
        versions.append(replace(made, created_at=now))
        return deepcopy(made)

    async def set_latest(self, assistant_id: str, owner: str, version: int) -> Assistant | None:
        key = (owner, assistant_id)
        versions = self.tables.versions.get(key, [])
        if not 1 <= version <= len(versions):
            return None
        created_at = self.tables.assistants[key].created_at
        chosen = replace(versions[version - 1], created_at=created_at, updated_at=self.clock())
        self.tables.assistants[key] = chosen
        return deepcopy(chosen)

    async def list_versions(
        self, assistant_id: str, owner: str, *, metadata: Json, limit: int, offset: int
    ) -> list[Assistant]:
        versions = reversed(self.tables.versions.get((owner, assistant_id), []))
        found = [version for version in versions if contains(version.metadata, metadata)]
        return deepcopy(found[offset : offset + limit])

    async def search_assistants(
        self, owner: str, query: AssistantQuery, others: Sequence[Assistant]
    ) -> tuple[list[Assistant], int]:
        own = [a for a in self.tables.assistants.values() if a.owner == owner]
        own.sort(key=lambda a: a.assistant_id)
        found = [a for a in [*own, *others] if _matches(a, query)]
        found.sort(key=lambda a: _sort_key(a, query.sort_by), reverse=query.descending)
        return deepcopy(found[query.offset : query.offset + query.limit]), len(found)

    async def delete_assistant(self, assistant_id: str, owner: str, *, with_threads: bool) -> bool:
        key = (owner, assistant_id)
        if self.tables.assistants.pop(key, None) is None:
            return False
        del self.tables.versions[key]
        crons = [c for c in self.tables.crons.values() if (c.owner, c.made_assistant) == key]
        for cron in crons:
            del self.tables.crons[cron.cron_id]
        threads = [row.thread for row in self.tables.threads.values()] if with_threads else []
        for thread in threads:
            if (thread.owner, thread.metadata.get("assistant_id")) == key:
                self.tables.drop_thread(thread.thread_id)
        return True


def _matches(assistant: Assistant, query: AssistantQuery) -> bool:
    return (
        contains(assistant.metadata, query.metadata)
        and query.graph_id in (None, assistant.graph_id)
        and (query.name or "").lower() in assistant.name.lower()
    )


def _sort_key(assistant: Assistant, field: str) -> Any:
    value = getattr(assistant, field)
    return value.lower() if isinstance(value, str) else value
