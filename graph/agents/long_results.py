"""Long results of tools: the model is sent a part, and the whole is kept where it can read on."""

from typing import Any

from langgraph.config import get_config, get_store
from langgraph.store.base import BaseStore

SHOWN = 6_000  # characters of a result that the model is sent
KEPT = 500_000  # characters that are kept
DAYS = 30  # they are kept for


async def shortened(text: str, result_id: str) -> str:
    """The text, or its beginning and how to read on."""
    if len(text) <= SHOWN:
        return text
    store = own_store()
    if store is None:
        return f"{text[:SHOWN]}\n(Cut at {SHOWN} of {len(text)} characters.)"
    kept = {"text": text[:KEPT]}
    for_days: dict[str, Any] = {"ttl": DAYS * 24 * 60} if store.supports_ttl else {}
    await store.aput(_namespace(), result_id, kept, index=False, **for_days)
    return _part(kept["text"], result_id, 0)


async def read_on(result_id: str, start: int) -> str | None:
    """The part of a kept result that begins at a character; None when nothing is kept there."""
    store = own_store()
    item = await store.aget(_namespace(), result_id) if store else None
    return None if item is None else _part(item.value["text"], result_id, start)


def own_store() -> BaseStore | None:
    """The owner's long-term store; None for a graph that runs without one."""
    try:
        found: BaseStore | None = get_store()
    except (RuntimeError, KeyError, AttributeError):  # outside a graph
        return None
    return found


def _namespace() -> tuple[str, ...]:
    return ("tool_results", str(get_config()["configurable"]["thread_id"]))


def _part(text: str, result_id: str, start: int) -> str:
    end = start + SHOWN
    part = text[start:end]
    if end >= len(text):
        return part or f"(The result ends at character {len(text)}.)"
    return (
        f"{part}\n(Characters {start} to {end} of {len(text)}. To read on, call read_result with "
        f'result_id "{result_id}" and start {end}.)'
    )
