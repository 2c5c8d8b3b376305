"""The statements in sql/ by name, one round trip each.

A state change is one statement that returns what it did. Leases are judged by the database's
clock; only tests pass %(now)s. No SET, no sequences, nothing prepared behind a proxy: nothing pins
a proxied session.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sql"
NAMED = re.compile(r"^-- (part )?(\w+)(?: if (\w+))? --$", re.MULTILINE)


def query(name: str, params: Mapping[str, Any]) -> str:
    """A statement, with the parts that its parameters ask for.

    Postgres is neither sent nor plans what it has nothing to do for.
    """
    return _query(name, tuple(bool(params.get(asked)) for _, asked in queries()[name][1]))


@cache
def _query(name: str, wanted: tuple[bool, ...]) -> str:
    text, options = queries()[name]
    for (part, _), is_wanted in zip(options, wanted, strict=True):
        text = text.replace(f"{{{part}}}", f", {_read()[1][part]}" if is_wanted else "")
    return _filled(text)


@cache
def queries() -> dict[str, tuple[str, tuple[tuple[str, str], ...]]]:
    """Every statement without its comments, and its optional parts: (part, what asks for it).

    A part is no statement: others have it as {its name}. An optional one, `-- part X if Y --`, is a
    further term of a list, and is there when the parameter Y is neither missing, empty nor zero.
    """
    statements, _, options = _read()
    found = {}
    for name, text in statements.items():
        whole = _filled(text)
        asked = tuple((part, by) for part, by in options.items() if f"{{{part}}}" in whole)
        found[name] = (whole, asked)
    return found


def _filled(text: str) -> str:
    """The text with all parts in it but the optional ones."""
    _, parts, options = _read()
    for name, body in parts.items():
        if name not in options:
            text = text.replace(f"{{{name}}}", body)
    return text


@cache
def _read() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Statements and parts, and what asks for the optional ones."""
    statements: dict[str, str] = {}
    parts: dict[str, str] = {}
    options: dict[str, str] = {}
    for file in sorted(FOLDER.glob("*.sql")):
        _, *found = NAMED.split(file.read_text())
        for is_part, name, asked, body in zip(*(found[i::4] for i in range(4)), strict=True):
            (parts if is_part else statements)[name] = _bare(body)
            if asked:
                options[name] = asked
    return statements, parts, options


def _bare(statement: str) -> str:
    lines = (line.split("--")[0].strip() for line in statement.splitlines())
    return "\n".join(line for line in lines if line).rstrip(";")
