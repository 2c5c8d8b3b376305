"""The tools of the chat agent; copy one to add yours.

A tool is a model of its arguments, which the language model reads, and an async function of them.
What it changes outside goes under `effect_key()`, so that a step taken twice changes it once.
"""

from typing import Literal

from langgraph.store.base import BaseStore
from pydantic import BaseModel, Field

from graph import effect_key, owner
from graph.agents import calculator, documents, fetch, long_results, memories, orders
from graph.agents.toolbox import CannotDo, Tool
from graph.public_web import Refused

PASSAGES = 4
FACTS = 10
ORDER_ID = r"[A-Z]{1,4}-\d{1,10}"


class Arguments(BaseModel, extra="forbid"):
    """What a tool is called with."""


class SearchDocuments(Arguments):
    """Search the user's own documents for passages about something."""

    query: str = Field(min_length=1, max_length=200, description="a few words to look for")


class LookUpOrder(Arguments):
    """Look up one of the user's orders: what it is and what became of it."""

    order_id: str = Field(pattern=f"^{ORDER_ID}$", description="like A-1001")


class UpdateOrder(Arguments):
    """Change one of the user's orders. Only when the user asked for exactly this change."""

    order_id: str = Field(pattern=f"^{ORDER_ID}$", description="like A-1001")
    status: Literal["cancelled", "returned"] = Field(
        description="cancelled: cancel, call off; returned: return, send back"
    )
    reason: str = Field(min_length=1, max_length=500, description="why, in the user's words")


class Calculate(Arguments):
    """Calculate an arithmetic expression exactly."""

    expression: str = Field(
        min_length=1, max_length=calculator.LENGTH, description="like 12 * (3 + 4.5) ** 2"
    )


class FetchPage(Arguments):
    """Read a page on the public internet."""

    url: str = Field(
        max_length=2000, description="the full address", json_schema_extra={"format": "uri"}
    )


class Remember(Arguments):
    """Remember a fact about the user or a preference, for later conversations too."""

    fact: str = Field(min_length=1, max_length=500, description="one sentence")


class Recall(Arguments):
    """Recall what the user wanted remembered, in this or an earlier conversation."""

    query: str = Field(max_length=200, description="what it is about")


class ReadResult(Arguments):
    """Continue in a long result of an earlier call, which says how."""

    result_id: str = Field(min_length=1, max_length=200, description="as the cut result says it")
    start: int = Field(default=0, ge=0, description="the character to begin at")


async def search_documents(args: SearchDocuments) -> str:
    """The best passages, each with its source."""
    found = await documents.search(args.query, PASSAGES)
    if not found:
        return f"No document mentions: {args.query}"
    return "\n\n".join(f"{hit.path}: {hit.heading}\n{hit.text}" for hit in found)


async def look_up_order(args: LookUpOrder) -> str:
    """What an order stands at."""
    return _tell(await orders.find(args.order_id, owner=owner()), args.order_id)


async def update_order(args: UpdateOrder) -> str:
    """Change an order, once."""
    order = await orders.change(
        args.order_id, args.status, args.reason, owner=owner(), effect_key=effect_key()
    )
    told = _tell(order, args.order_id)
    if order and order.status != args.status:
        raise CannotDo(f"It was not changed: an order cannot become {args.status} now. {told}")
    return told


async def calculate(args: Calculate) -> str:
    """The expression and its value."""
    try:
        return f"{args.expression} = {calculator.calculate(args.expression)}"
    except ValueError as error:
        raise CannotDo(str(error)) from None


async def fetch_page(args: FetchPage) -> str:
    """The page's text."""
    try:
        return await fetch.fetch(args.url)
    except Refused as error:
        raise CannotDo(f"The page was not fetched: {error}") from None


async def remember(args: Remember) -> str:
    """Keep a fact, once."""
    await memories.remember(_store(), args.fact, key=effect_key())
    return f"Remembered: {args.fact}"


async def recall(args: Recall) -> str:
    """The facts nearest to the query."""
    facts = await memories.recall(_store(), args.query, FACTS)
    return "\n".join(f"- {fact}" for fact in facts) or "Nothing has been remembered yet."


async def read_result(args: ReadResult) -> str:
    """A part of a result that was too long to be sent whole."""
    part = await long_results.read_on(args.result_id, args.start)
    if part is None:
        raise CannotDo(f"No long result {args.result_id} is kept here: call the tool again.")
    return part


def _store() -> BaseStore:
    store = long_results.own_store()
    if store is None:
        raise CannotDo("There is no long-term store here: nothing can be remembered.")
    return store


def _tell(order: orders.Order | None, order_id: str) -> str:
    if order is None:
        raise CannotDo(f"The user has no order {order_id}.")
    return f"Order {order.order_id} ({order.item}) is {order.status}."


TOOLS = (
    Tool(
        "search_documents",
        SearchDocuments,
        search_documents,
        failed="The documents cannot be searched now: answer without them and say so.",
        retries=1,
        topic="documents",
    ),
    Tool(
        "look_up_order",
        LookUpOrder,
        look_up_order,
        failed="The orders cannot be read now: tell the user to ask again later.",
        retries=1,
        topic="orders",
    ),
    Tool(
        "update_order",
        UpdateOrder,
        update_order,
        failed="Whether the order was changed is not known: look it up before anything else.",
        retries=1,
        topic="orders",
    ),
    Tool(
        "calculate",
        Calculate,
        calculate,
        failed="It cannot be calculated.",
        timeout=2.0,
        topic="figures",
    ),
    Tool(
        "fetch_page",
        FetchPage,
        fetch_page,
        failed="The page cannot be read: go on without it and say so.",
        timeout=20.0,
        retries=1,
        topic="web",
    ),
    Tool(
        "remember",
        Remember,
        remember,
        failed="It could not be remembered: tell the user.",
        retries=1,
    ),
    Tool("recall", Recall, recall, failed="Nothing can be recalled now.", retries=1),
    Tool("read_result", ReadResult, read_result, failed="It cannot be read now.", retries=1),
)
