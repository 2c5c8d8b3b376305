"""Parts of a thread that a search asks for by name: {"last": "values.messages[-1].content"}."""

import re
from collections.abc import Mapping
from typing import Any

from graph.runtime.models import Json
from graph.runtime.rendering import jsonable

STEP = re.compile(r"([^.\[\]]+)|\[(-?[0-9]+)\]")


def extracted(item: Json, paths: Mapping[str, str]) -> Json:
    """What is found at each path, null where there is nothing."""
    whole = jsonable(item)
    return {name: _at(whole, path) for name, path in paths.items()}


def _at(value: Any, path: str) -> Any:
    for key, index in STEP.findall(path):
        if key and isinstance(value, dict):
            value = value.get(key)
        elif index and isinstance(value, list) and -len(value) <= int(index) < len(value):
            value = value[int(index)]
        else:
            return None
    return value
