"""How a model without a mind uses tools: it picks one by its words, and copies what it returned."""

import re
from collections.abc import Sequence
from typing import Any

from infra.local import extractive
from infra.local.extractive import Conversation
from infra.local.words import key_words

Json = dict[str, Any]

FOUND = 3  # points for a part of the question that has the form a tool wants
NAMED = 2  # points for a word of a tool's name; a word of its description has one


def choose(tools: Sequence[Json], talk: Conversation) -> Json | None:
    """The tool the question asks for; one that searches when it names none; None for small talk."""
    scores = [(_score(tool, talk.question), tool) for tool in tools]
    best, tool = max(scores, key=lambda scored: scored[0])
    if best > 0:
        return tool
    if not talk.queries():
        return None
    return next((tool for score, tool in scores if score == 0 and _searches(tool)), None)


def reply(talk: Conversation, results: Sequence[tuple[str, Json]]) -> str:
    """What the tools' results say to the question, or the results as they are."""
    copied = extractive.report(talk, titled=False)
    if not results or any(f"({name})" in copied for name, _ in results):
        return copied
    return "\n\n".join(_told(name, block) for name, block in results)


def _told(name: str, block: Json) -> str:
    content = block.get("content", "")
    parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    return f"{name} {'failed' if block.get('is_error') else 'answered'}: {' '.join(parts)}"


def _score(tool: Json, question: str) -> int:
    """Points for what the question has of it; below zero when a part it must have is missing."""
    schema = tool["input_schema"]
    points = 0
    for name in schema.get("required", ()):
        part = schema["properties"][name]
        if "enum" in part:
            found = max(extractive.mentions(part, value, question) for value in part["enum"])
        else:
            text = extractive.quoted(part, name, question)
            found = 0 if text is None else FOUND * bool(text)
            if text is None:
                continue
        if not found:
            return -1
        points += found
    called = _words(tool["name"].replace("_", " "), question)
    return points + NAMED * len(called) + len(_words(tool["description"], question) - called)


def _words(text: str, question: str) -> set[str]:
    said = {re.sub(r"(s|ed|ing)$", "", word) for word in key_words(question)}
    return {re.sub(r"(s|ed|ing)$", "", word) for word in key_words(text)} & said


def _searches(tool: Json) -> bool:
    return "search" in tool["name"] and any("quer" in n for n in tool["input_schema"]["properties"])
