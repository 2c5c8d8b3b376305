"""Threads by what they hold: found, counted, pruned."""

from collections.abc import Sequence
from dataclasses import replace

from graph.errors import BadInput
from graph.runtime import retention
from graph.runtime.containment import contains
from graph.runtime.engine import Runtime
from graph.runtime.models import Json, Thread, ThreadQuery
from graph.runtime.rendering import jsonable

SCANNED = 1000  # threads whose states one search by values may read
AT_ONCE = 100  # states in memory


async def find_threads(
    rt: Runtime, owner: str, query: ThreadQuery, values: Json | None = None
) -> tuple[list[Thread], int]:
    """One page and the number of all matches; `values` is contained in the newest state.

    States are stored in a form that only LangGraph's serializer reads, so they are looked at one by
    one: raises BadInput when the rest of the query leaves more than SCANNED threads.
    """
    if not values:
        return await rt.store.search_threads(owner, query)
    threads, total = await rt.store.search_threads(owner, replace(query, limit=SCANNED, offset=0))
    if total > SCANNED:
        raise BadInput(
            f"body.values: {total} threads would have to be read to search their values, the limit "
            f"is {SCANNED}: narrow the search by metadata, status or ids"
        )
    found = []
    for start in range(0, len(threads), AT_ONCE):
        found += await _holding(rt, owner, threads[start : start + AT_ONCE], values)
    return found[query.offset : query.offset + query.limit], len(found)


async def prune_threads(
    rt: Runtime, thread_ids: Sequence[str], owner: str, *, keep_latest: bool
) -> int:
    """Delete the owner's threads, or the history of those that are idle; how many they were."""
    if not keep_latest:
        return await rt.store.delete_threads(thread_ids, owner)
    idle = await rt.store.idle_threads(thread_ids, owner)
    return await retention.keep_latest(rt.store, idle)


async def _holding(
    rt: Runtime, owner: str, threads: Sequence[Thread], values: Json
) -> list[Thread]:
    from graph.runtime.values import newest_values

    held = await newest_values(rt, threads, owner)
    return [t for t in threads if contains(jsonable(held[t.thread_id]), values)]
