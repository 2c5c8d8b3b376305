"""The statements of queries.sql by name."""

import re
from functools import cache
from pathlib import Path

NAMED = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@cache
def queries() -> dict[str, str]:
    """Every statement, without its comments: Postgres is sent nothing it need not read."""
    text = (Path(__file__).parent / "queries.sql").read_text()
    _, *parts = NAMED.split(text)
    named = {name: _bare(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    rows = named.pop("rows")
    return {name: body.replace("{rows}", rows) for name, body in named.items()}


def _bare(statement: str) -> str:
    lines = (line.split("--")[0].strip() for line in statement.splitlines())
    return "\n".join(line for line in lines if line).rstrip(";")
