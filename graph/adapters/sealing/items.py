"""The long-term store's values: sealed leaf by leaf, found by equal ones."""

from collections.abc import Sequence
from typing import Any

from langgraph.store.base import Item, SearchOp
from psycopg.types.json import Jsonb

from graph.adapters.sealing.cipher import Cipher
from graph.adapters.sealing.columns import ITEM
from graph.errors import BadInput

FOUND = {"$eq": "IN", "$ne": "NOT IN"}  # what is stored in one of several forms


def sealed_params(params: Sequence[Any], cipher: Cipher) -> list[Any]:
    """Those of LangGraph's insert, in which a value follows its namespace and its key."""
    return [
        Jsonb(ITEM.stored(said.obj, cipher, owner_of(params[place - 2].split("."))))
        if isinstance(said, Jsonb)
        else said
        for place, said in enumerate(params)
    ]


def opened(result: Any, cipher: Cipher) -> Any:
    """What an operation gave, with its values opened."""
    if isinstance(result, list):
        return [opened(one, cipher) for one in result]
    if isinstance(result, Item):
        result.value = ITEM.open(result.value, cipher, owner_of(result.namespace))
    return result


def searching(op: SearchOp, cipher: Cipher) -> SearchOp:
    """The operation with all forms of what it looks for; raises BadInput for what has no order."""
    if not cipher.keys.secrets:
        return op._replace(filter=ITEM.escape(op.filter or {}))
    owner, wanted = owner_of(op.namespace_prefix), {}
    for key, said in (op.filter or {}).items():
        comparisons = said if isinstance(said, dict) else {"$eq": said}
        for name in comparisons.keys() - FOUND.keys():
            raise BadInput(
                f"filter.{key}: values are encrypted, so items are found by {' and '.join(FOUND)} "
                f"only, not by {name}: search without it, and compare what is found"
            )
        wanted[key] = {
            name: [form[key] for form in ITEM.every({key: value}, cipher, owner)]
            for name, value in comparisons.items()
        }
    return op._replace(filter=wanted)


def condition(key: str, name: str, forms: Sequence[Any]) -> tuple[str, list[Any]]:
    """SQL that compares a member with all forms of a value."""
    places = ", ".join(["%s"] * len(forms))
    return f"value->%s {FOUND[name]} ({places})", [key, *map(Jsonb, forms)]


def owner_of(namespace: Sequence[str]) -> str:
    """An owner's label is the first of every namespace: see `owned`."""
    return namespace[0] if namespace else ""
