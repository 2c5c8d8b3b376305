"""Modules that load LangGraph, which takes a second or more: imported beside the event loop."""

import asyncio
from importlib import import_module
from typing import Any

_loaded: dict[str, Any] = {}


async def late(name: str) -> Any:
    """The module; other requests are served while it loads."""
    if name not in _loaded:
        _loaded[name] = await asyncio.to_thread(import_module, name)
    return _loaded[name]
