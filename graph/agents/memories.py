"""Facts an owner wants remembered, over all threads, in the long-term store."""

from langgraph.store.base import BaseStore, SearchItem

FACTS = ("memories",)
NEWEST = 200  # facts that are looked through where the store cannot search by meaning


async def remember(store: BaseStore, fact: str, *, key: str) -> None:
    """Keep a fact; one key keeps one."""
    await store.aput(FACTS, key, {"text": fact})


async def recall(store: BaseStore, query: str, limit: int) -> list[str]:
    """Facts, those nearest to the query first: by meaning, else by the words they share."""
    found = await store.asearch(FACTS, query=query or None, limit=NEWEST)
    if any(item.score is not None for item in found):
        return [_fact(item) for item in found[:limit]]
    newest = sorted(found, key=lambda item: item.updated_at, reverse=True)
    words = _stems(query)
    return [_fact(i) for i in sorted(newest, key=lambda i: -len(words & _stems(_fact(i))))][:limit]


def _fact(item: SearchItem) -> str:
    return str(item.value["text"])


def _stems(text: str) -> set[str]:
    return {word.strip(".,;:!?'\"()").rstrip("s") for word in text.lower().split() if len(word) > 2}
