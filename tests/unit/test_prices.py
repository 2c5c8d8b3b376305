"""Prices: by model and kind of token, from a list that says when and where it was read."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from graph import prices
from graph.prices import Tokens, price


@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        ("claude-haiku-5-5", Tokens(input=1_000_000 // 10), "0.01"),
        ("claude-haiku-5-5", Tokens(output=1000), "0.0005"),
        ("claude-haiku-5-5", Tokens(cache_write=1000, cache_read=1000), "0.000135"),
        ("claude-haiku-5-5-20261007", Tokens(input=10), "0.000001"),
        ("claude-haiku-5-5", Tokens(input=60_000, cache_read=40_001), "0.03200005"),
        ("claude-sonnet-5-5", Tokens(1000, 1000, 1000, 1000), "0.0146"),
        ("claude-opus-5-5", Tokens(input=200_000), "0.8"),
        ("offline-extractive", Tokens(1000, 1000, 1000, 1000), "0"),
    ],
)
def test_a_call_costs_what_the_list_says(model: str, tokens: Tokens, usd: str) -> None:
    assert price(model, tokens) == Decimal(usd)


@pytest.mark.parametrize("model", ["llama-5", "", "claude-haiku"])
def test_a_model_that_is_not_in_the_list_has_no_price(model: str) -> None:
    assert price(model, Tokens(input=1)) is None


def test_the_list_says_when_and_where_it_was_read() -> None:
    listed = json.loads((Path(prices.__file__).parent / "prices.json").read_text())
    assert listed["source"].startswith("https://")
    assert date.fromisoformat(listed["as_of"]) >= date(2026, 11, 1)
    for rates in listed["models"].values():
        for tier in [rates, *([rates["long_prompt"]] if "long_prompt" in rates else [])]:
            assert all(
                Decimal(tier[kind]) >= 0
                for kind in ("input", "output", "cache_write", "cache_read")
            )
