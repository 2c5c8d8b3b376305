"""What a call costs, by the dated list in prices.json."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one call, as the API counts them: each in one of the four."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0

    @property
    def sent(self) -> int:
        """All that was in the prompt."""
        return self.input + self.cache_write + self.cache_read


def price(model: str, tokens: Tokens) -> Decimal | None:
    """What the call costs in US dollars; None for a model that is not in the list."""
    rates = _rates(model)
    if rates is None:
        return None
    long = rates.get("long_prompt")
    if long and tokens.sent > long["above"]:
        rates = long
    kinds = ("input", "output", "cache_write", "cache_read")
    return sum((Decimal(rates[kind]) * getattr(tokens, kind) for kind in kinds), Decimal(0)) / (
        MILLION
    )


def is_priced(model: str) -> bool:
    """Whether the list has the model."""
    return _rates(model) is not None


def _rates(model: str) -> dict[str, Any] | None:
    """A model's rates; `us.anthropic.claude-haiku-5-5-20261007-v1:0` has `claude-haiku-5-5`'s."""
    models, model = _list(), model.rpartition("anthropic.")[2]
    name = max((name for name in models if model.startswith(name)), key=len, default=None)
    return None if name is None else models[name]


@cache
def _list() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "prices.json").read_text())
    return dict(found["models"])
