"""JSON containment as Postgres's `@>` has it."""

from typing import Any


def contains(whole: Any, part: Any) -> bool:
    """Whether `part` is found in `whole`: dicts by key, lists in any order."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(element, wanted) for element in whole) for wanted in part
        )
    if isinstance(whole, bool) or isinstance(part, bool):
        return whole is part
    return bool(whole == part)
