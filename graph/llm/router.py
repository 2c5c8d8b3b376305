"""Which model is asked, and what a request to it may cost."""

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langgraph.config import get_config

from graph.budgets import nearly_spent
from graph.calls import caller
from graph.llm.settings import model_settings
from graph.prices import Tokens, is_priced, price
from graph.usage import Spent, Totals, total

log = logging.getLogger("baton.models")

BYTES_PER_TOKEN = 4  # most often; hardly ever less than half of it


def model() -> str:
    """BATON_MODEL, or another close to a ceiling in USD or after failures in a row."""
    env, step = model_settings(), caller()
    chosen, why = env.BATON_MODEL, ""
    if env.BATON_MODEL_FALLBACK and step and step.failures >= env.BATON_MODEL_FALLBACK_AFTER:
        chosen, why = env.BATON_MODEL_FALLBACK, f"{step.failures} calls failed"
    elif env.BATON_MODEL_CHEAPER and nearly_spent():
        chosen, why = env.BATON_MODEL_CHEAPER, "the budget is nearly spent"
    if why and step:
        facts = {"model": chosen, "thread_id": step.whose.thread_id, "run_id": step.whose.run_id}
        log.info("another model: %s", why, extra=facts)
    return chosen


@dataclass(slots=True)
class Call:
    """One call of a model: before it is made, and what became of it."""

    model: str
    most: Spent  # it can cost
    likely_input: int  # tokens
    made: Spent | None = None
    refused: bool = False  # at the door: it cost nothing

    @property
    def id(self) -> str:
        return self.most.call_id

    @property
    def ceiling(self) -> Totals:
        return total([self.most])

    @property
    def unpriced(self) -> str | None:
        """The model's name, if nobody knows what it costs."""
        return None if is_priced(self.model) else self.model


def call_of(model: str, request: dict[str, Any], *, share: int = 1, call_id: str = "") -> Call:
    """A request as a call, not yet made; `share` divides its price."""
    size = len(json.dumps(request, default=str).encode())
    tokens = Tokens(cache_write=size * 2 // BYTES_PER_TOKEN + 1, output=request["max_tokens"])
    usd = price(model, tokens)
    most = Spent(
        call_id=call_id or str(uuid4()),
        node=node_name(),
        model=model,
        input_tokens=tokens.sent,
        output_tokens=tokens.output,
        cached_tokens=0,
        usd=None if usd is None else usd / share,
        ms=0,
    )
    return Call(model, most, size // BYTES_PER_TOKEN + 1)


def node_name() -> str:
    """The node that calls, empty outside a graph."""
    try:
        return str(get_config()["metadata"].get("langgraph_node", ""))
    except RuntimeError:
        return ""
