"""One owner's part of the long-term store."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchOp,
    TTLConfig,
)

Opened = Callable[[], Awaitable[BaseStore]]


class OwnedStore(BaseStore):
    """LangGraph's BaseStore, in which every namespace lies below the owner's label.

    What comes in is put below it, what goes out is taken from below it: no operation can name
    anything beside it.
    """

    supports_ttl = True

    def __init__(self, opened: Opened, owner: str, ttl: TTLConfig) -> None:
        self.ttl_config = ttl
        self._opened = opened
        self._root = label(owner)
        self._loop = asyncio.get_running_loop()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        below = [self._below(op) for op in ops]
        everybodys = await self._opened()
        return [self._own(result) for result in await everybodys.abatch(below)]

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """For nodes that are not async, which LangGraph runs beside the event loop."""
        try:
            on_the_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            on_the_loop = False
        if on_the_loop:
            raise asyncio.InvalidStateError(
                "an async node must await the store: aget, aput, adelete, asearch, alist_namespaces"
            )
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()

    def _below(self, op: Op) -> Op:
        if isinstance(op, GetOp | PutOp):
            return op._replace(namespace=(self._root, *op.namespace))
        if isinstance(op, SearchOp):
            return op._replace(namespace_prefix=(self._root, *op.namespace_prefix))
        return self._listed(op)

    def _listed(self, op: ListNamespacesOp) -> ListNamespacesOp:
        asked = op.match_conditions or ()
        conditions = [MatchCondition("prefix", (self._root,))]
        for condition in asked:
            if condition.match_type == "prefix":
                conditions.append(MatchCondition("prefix", (self._root, *condition.path)))
            else:  # of what is below the root: so many labels there must be
                labels = ["*"] * len(condition.path)
                conditions += [condition, MatchCondition("prefix", (self._root, *labels))]
        depth = None if op.max_depth is None else op.max_depth + 1
        return op._replace(match_conditions=tuple(conditions), max_depth=depth)

    def _own(self, result: Any) -> Any:
        """A result with the namespaces as the owner knows them."""
        if isinstance(result, list):
            return [self._own(one) for one in result]
        if isinstance(result, Item):
            result.namespace = result.namespace[1:]
        return result[1:] if isinstance(result, tuple) else result


def label(owner: str) -> str:
    """The owner as a namespace's first label: never empty, without dots, not a wildcard."""
    return "@" + quote(owner, safe="").replace(".", "%2E")
