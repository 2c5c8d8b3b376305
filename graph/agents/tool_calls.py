"""A tool's call: held to the budget before it is made, and noted when it is over."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

from graph.budgets import check_tool
from graph.llm.router import node_name
from graph.usage import TOOL, Spent, noted


@contextmanager
def counted(name: str) -> Iterator[None]:
    """The block is one call; it is a row of usage however it ends.

    Raises Stopped or BudgetSpent at a ceiling on `tool_calls`, before anything is done.
    """
    check_tool()
    began = time.monotonic()
    call = Spent(str(uuid4()), node_name(), f"{TOOL}{name}"[:200], 0, 0, 0, Decimal(0), ms=0)
    rows = noted()
    rows.append(call)  # at once: those made beside it are held to the same ceiling
    try:
        yield
    finally:
        ms = round((time.monotonic() - began) * 1000)
        rows[rows.index(call)] = replace(call, ms=ms)
