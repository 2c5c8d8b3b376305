"""Several calls at a time, each on a connection of its own."""

import asyncio
from collections.abc import Awaitable
from typing import Any

ROUNDS = 50  # of a race whose order is left to chance


async def both(*calls: Awaitable[Any]) -> list[Any]:
    """What calls made at once give; an exception is given as a value."""
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(results: list[Any]) -> list[str]:
    """The names of the results' types, sorted: who came first is left to chance."""
    return sorted(type(result).__name__ for result in results)
