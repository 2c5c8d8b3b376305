"""JSON that Postgres takes: jsonb has no place for NUL and for halves of surrogate pairs."""

import json
from typing import Any


def jsonb_text(value: Any) -> str:
    """JSON text of plain data; what jsonb cannot hold becomes U+FFFD or "?"."""
    text = json.dumps(value)
    suspect = "\\u0000" in text or "\\ud" in text
    return json.dumps(_storable(value)) if suspect else text


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    return value
