"""Calls of tools, and of a project's own chat models: held to the budget, noted as usage.

LangChain tells of each before it is made and when it has ended. graph/llm counts its own calls,
and what is answered from a record is no call.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook
from typing_extensions import override

from graph.budgets import check, check_tool
from graph.prices import Tokens, is_priced, price
from graph.recording import answers
from graph.usage import TOOL, Spent, noted

Json = dict[str, Any]

OWN = "claude"  # graph/llm's chat model
LONGEST = 200  # characters of a name


@dataclass(frozen=True, slots=True)
class _Begun:
    call: Spent
    at: float


class Counting(BaseCallbackHandler):
    """Each call is a row from its beginning on, so that those made beside it are held to it.

    What a model's call costs is known at its end: calls made at once may pass a ceiling on tokens
    or US dollars together.
    """

    run_inline = True
    raise_error = True
    ignore_chain = True
    ignore_retriever = True
    ignore_custom_event = True

    def __init__(self) -> None:
        self._rows = noted()
        self._begun: dict[UUID, _Begun] = {}
        self._lock = threading.Lock()  # what is no coroutine is called in a thread

    @override
    def on_chat_model_start(
        self,
        serialized: Json,
        messages: Any,
        *,
        run_id: UUID,
        metadata: Json | None = None,
        **kwargs: Any,
    ) -> None:
        self._model_starts(run_id, metadata or {}, kwargs.get("invocation_params") or {})

    @override
    def on_llm_start(
        self,
        serialized: Json,
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: Json | None = None,
        **kwargs: Any,
    ) -> None:
        self._model_starts(run_id, metadata or {}, kwargs.get("invocation_params") or {})

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        self._ends(run_id, response)

    @override
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._ends(run_id, kwargs.get("response"))

    @override
    def on_tool_start(
        self,
        serialized: Json,
        input_str: str,
        *,
        run_id: UUID,
        metadata: Json | None = None,
        **kwargs: Any,
    ) -> None:
        name = (serialized or {}).get("name") or kwargs.get("name")
        with self._lock:
            check_tool()
            self._begins(run_id, f"{TOOL}{name}", metadata or {}, Decimal(0))

    @override
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._ends(run_id, None)

    @override
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._ends(run_id, None)

    def _model_starts(self, run_id: UUID, metadata: Json, asked: Json) -> None:
        if asked.get("_type") == OWN or answers() is not None:
            return
        model = str(metadata.get("ls_model_name") or asked.get("model") or asked.get("_type"))
        with self._lock:
            check(unpriced=None if is_priced(model) else model)
            self._begins(run_id, model, metadata, None)

    def _begins(self, run_id: UUID, name: str, metadata: Json, usd: Decimal | None) -> None:
        node = str(metadata.get("langgraph_node", ""))
        call = Spent(str(uuid4()), node, name[:LONGEST], 0, 0, 0, usd, ms=0)
        self._rows.append(call)
        self._begun[run_id] = _Begun(call, time.monotonic())

    def _ends(self, run_id: UUID, response: LLMResult | None) -> None:
        begun = self._begun.pop(run_id, None)
        if begun is None:
            return
        ms = round((time.monotonic() - begun.at) * 1000)
        self._rows[self._rows.index(begun.call)] = replace(_made(begun.call, response), ms=ms)


_counting: ContextVar[Counting | None] = ContextVar("baton_counting", default=None)
# Beside the callbacks that a node's call is given, which replace those of its graph.
register_configure_hook(_counting, inheritable=True)


@contextmanager
def counting() -> Iterator[None]:
    """Calls made in the block, and in the tasks and threads it starts, are counted."""
    token = _counting.set(Counting())
    try:
        yield
    finally:
        _counting.reset(token)


def _made(call: Spent, response: LLMResult | None) -> Spent:
    """The call with what it took, as far as the model has said."""
    message = _message(response)
    told: Mapping[str, Any] = getattr(message, "usage_metadata", None) or {}
    if not told:
        return call
    model = str(message.response_metadata.get("model_name") or call.model)[:LONGEST]
    details = told.get("input_token_details") or {}
    read, written = _whole(details, "cache_read"), _whole(details, "cache_creation")
    sent, received = _whole(told, "input_tokens"), _whole(told, "output_tokens")
    tokens = Tokens(max(sent - read - written, 0), received, written, read)
    return replace(
        call,
        model=model,
        input_tokens=sent,
        output_tokens=received,
        cached_tokens=read,
        usd=price(model, tokens),
    )


def _whole(told: Mapping[str, Any], name: str) -> int:
    """A number of tokens; a model that tells none, or nonsense, ends no step by it."""
    found = told.get(name)
    return max(int(found), 0) if isinstance(found, int | float) else 0


def _message(response: LLMResult | None) -> Any:
    generations = response.generations if response else []
    return getattr(generations[0][0], "message", None) if generations and generations[0] else None
