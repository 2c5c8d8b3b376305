"""The graphs that every contestant runs; nothing but LangGraph is imported."""

import asyncio
import base64
import os
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

W1_STEPS = 10
W1_INPUT: Any = {"n": 0, "limit": W1_STEPS, "pad": "x" * 2000}
MODEL_SECONDS = 2.0


class Counter(TypedDict):
    n: int
    limit: int
    pad: str


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class Answer(TypedDict, total=False):
    answer: str


def count(state: Counter) -> dict[str, int]:
    return {"n": state["n"] + 1}


def counted(state: Counter) -> str:
    return END if state["n"] >= state["limit"] else "count"


def kilobyte() -> str:
    """Text that does not compress: stored sizes are those of the content."""
    return base64.b64encode(os.urandom(768)).decode()


def talk(state: Chat) -> dict[str, Any]:
    return {"messages": [AIMessage(kilobyte())]}


async def call(state: Answer) -> Answer:
    """Stands for a model that takes its time."""
    await asyncio.sleep(MODEL_SECONDS)
    return {"answer": "done"}


def messages(number: int) -> list[dict[str, str]]:
    """A conversation so far, as a client sends it."""
    return [{"role": "user", "content": kilobyte()} for _ in range(number)]


w1 = (
    StateGraph(Counter)
    .add_node("count", count)
    .add_edge(START, "count")
    .add_conditional_edges("count", counted, ["count", END])
    .compile()
)
chat = (  # talks until it is stopped
    StateGraph(Chat).add_node("talk", talk).add_edge(START, "talk").add_edge("talk", "talk")
).compile()
model = StateGraph(Answer).add_node("call", call).add_edge(START, "call").compile()
