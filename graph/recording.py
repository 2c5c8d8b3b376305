"""Model calls as they were made: kept with a step that asked for it, and answered from in a replay.

Whoever calls a model tells what it asked and what it was told; elsewhere nobody listens.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from graph.errors import PermanentFailure

Json = dict[str, Any]


class NotRecorded(PermanentFailure):
    """A replayed step asked a model what it was not asked when it was recorded."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a model was asked and what it answered, as plain JSON."""

    kind: str  # messages: Anthropic's API; langchain: any chat model of LangChain's
    node: str
    request: Json
    response: Json

    @property
    def key(self) -> str:
        return _key(self.kind, self.request)


class Answers:
    """Recorded answers, each given once, in the order in which they were."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.given = 0
        self._left: defaultdict[str, deque[Json]] = defaultdict(deque)
        for call in calls:
            self._left[call.key].append(call.response)

    def find(self, kind: str, node: str, request: Json) -> Json:
        """Raises NotRecorded."""
        left = self._left[_key(kind, request)]
        if not left:
            raise NotRecorded(
                f"node {node!r} asked its model what it did not ask when the step was recorded: "
                f"{json.dumps(request)[:2000]}"
            )
        self.given += 1
        return left.popleft()


_recorded: ContextVar[list[Call] | None] = ContextVar("baton_recorded", default=None)
_answers: ContextVar[Answers | None] = ContextVar("baton_answers", default=None)


@contextmanager
def recording(wanted: bool) -> Iterator[list[Call]]:
    """Collects the calls made in the block, in the tasks and threads it starts, if wanted."""
    calls: list[Call] = []
    token = _recorded.set(calls if wanted else None)
    try:
        yield calls
    finally:
        _recorded.reset(token)


def record(call: Call) -> None:
    """Keep a call, where that is wanted."""
    calls = _recorded.get()
    if calls is not None:
        calls.append(call)


def records() -> bool:
    """Whether calls are kept here."""
    return _recorded.get() is not None


@contextmanager
def answering(calls: Iterable[Call]) -> Iterator[Answers]:
    """Calls made in the block are answered by these, and no others are made."""
    answers = Answers(calls)
    token = _answers.set(answers)
    try:
        yield answers
    finally:
        _answers.reset(token)


def answers() -> Answers | None:
    """What calls are answered from here; None: by the model."""
    return _answers.get()


def _key(kind: str, request: Json) -> str:
    return f"{kind} {json.dumps(request, sort_keys=True)}"
