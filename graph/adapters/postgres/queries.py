"""The statements in sql/ by name, one round trip each.

A state change is one statement that returns what it did. Leases are judged by the database's
clock; only tests pass %(now)s. No SET, no sequences, nothing prepared behind a proxy: nothing pins
a proxied session.
"""

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"
NAMED = re.compile(r"^-- (part )?(\w+) --$", re.MULTILINE)


@cache
def queries() -> dict[str, str]:
    """Every statement, without its comments: Postgres is sent nothing it need not read.

    A part is no statement: others have it as {its name}. A statement that stores events only
    sometimes is here twice: `X` does not, `X_telling` does.
    """
    statements: dict[str, str] = {}
    parts: dict[str, str] = {}
    for file in sorted(FOLDER.glob("*.sql")):
        _, *found = NAMED.split(file.read_text())
        for is_part, name, body in zip(found[::3], found[1::3], found[2::3], strict=True):
            (parts if is_part else statements)[name] = _bare(body)
    whole = {name: _filled(body, parts) for name, body in statements.items()}
    telling = {
        f"{name}_telling": body.replace("{and_events}", f", {parts['events']}")
        for name, body in whole.items()
        if "{and_events}" in body
    }
    return {name: body.replace("{and_events}", "") for name, body in whole.items()} | telling


def _filled(statement: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement


def _bare(statement: str) -> str:
    lines = (line.split("--")[0].strip() for line in statement.splitlines())
    return "\n".join(line for line in lines if line).rstrip(";")
