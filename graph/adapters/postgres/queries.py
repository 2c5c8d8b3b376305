"""The statements of queries.sql by name."""

import re
from functools import cache
from pathlib import Path

NAMED = re.compile(r"^-- (\w+) --$", re.MULTILINE)
PARTS = ("rows", "events", "checkpoint")  # not statements: others have them as {rows} and so on


@cache
def queries() -> dict[str, str]:
    """Every statement, without its comments: Postgres is sent nothing it need not read.

    One that stores events only sometimes is here twice: `X` does not, `X_telling` does.
    """
    text = (Path(__file__).parent / "queries.sql").read_text()
    _, *parts = NAMED.split(text)
    named = {name: _bare(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}
    parts_of = {name: named.pop(name) for name in PARTS}
    whole = {name: _filled(body, parts_of) for name, body in named.items()}
    telling = {
        f"{name}_telling": body.replace("{and_events}", f", {parts_of['events']}")
        for name, body in whole.items()
        if "{and_events}" in body
    }
    return {name: body.replace("{and_events}", "") for name, body in whole.items()} | telling


def _filled(statement: str, parts_of: dict[str, str]) -> str:
    for name, part in parts_of.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement


def _bare(statement: str) -> str:
    lines = (line.split("--")[0].strip() for line in statement.splitlines())
    return "\n".join(line for line in lines if line).rstrip(";")
