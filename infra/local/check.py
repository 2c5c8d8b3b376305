"""A handler that loads every graph of a project, in a worker: user code never runs in the stack."""

import asyncio
from pathlib import Path
from typing import Any

from graph.adapters.registry import Registry


def handler(event: dict[str, Any], context: object) -> list[str]:  # noqa: ARG001
    """The graphs' names; raises BadProject."""
    registry = Registry(Path(event["config"]))

    async def load() -> None:
        for name in registry.names():
            await registry.load(name, {"configurable": {}})

    asyncio.run(load())
    return list(registry.names())
