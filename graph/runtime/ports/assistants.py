"""The port of assistants."""

from collections.abc import Sequence
from typing import Protocol

from graph.runtime.models import Assistant, AssistantChange, AssistantQuery, Json


class AssistantStore(Protocol):
    """The assistants that clients made; an owner never sees another's."""

    async def create_assistant(self, new: Assistant) -> Assistant | None:
        """Version 1 of a new assistant; None when the owner has one of that id."""
        ...

    async def get_assistant(self, assistant_id: str, owner: str) -> Assistant | None: ...

    async def update_assistant(
        self, assistant_id: str, owner: str, change: AssistantChange
    ) -> Assistant | None:
        """Make a new version, numbered one above the highest, and put it in force."""
        ...

    async def set_latest(self, assistant_id: str, owner: str, version: int) -> Assistant | None:
        """Put an earlier version in force again; None when there is none."""
        ...

    async def list_versions(
        self, assistant_id: str, owner: str, *, metadata: Json, limit: int, offset: int
    ) -> list[Assistant]:
        """Newest first."""
        ...

    async def search_assistants(
        self, owner: str, query: AssistantQuery, others: Sequence[Assistant]
    ) -> tuple[list[Assistant], int]:
        """One page of the owner's and these others, and the number of all matches.

        Those that sort alike come in the order of `others`, before them the owner's.
        """
        ...

    async def delete_assistant(self, assistant_id: str, owner: str, *, with_threads: bool) -> bool:
        """Drop it with its versions and crons, and with the owner's threads that it ran on.

        Runs that were accepted go on. False if there is none.
        """
        ...
