"""JSON schemas, as pydantic writes them, as TypeScript types."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Any  # a mapping, or true for anything and false for nothing

PLAIN = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")


def declarations(name: str, schema: Schema) -> Iterator[str]:
    """The type of that name, and one for each of the schema's definitions, named after it."""
    definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
    names = {key: identifier(f"{name}_{key}") for key in definitions}
    for key, each in definitions.items():
        yield _declaration(names[key], each, names)
    yield _declaration(name, schema, names)


def identifier(text: str) -> str:
    """A name that TypeScript takes."""
    name = NOT_IN_NAMES.sub("_", text)
    return f"_{name}" if not name or name[0].isdigit() else name


def literal(value: Any) -> str:
    """A JSON value as a type that has it alone."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{ {'; '.join(f'{json.dumps(k)}: {literal(v)}' for k, v in value.items())} }}"
    return json.dumps(value)


def _declaration(name: str, schema: Schema, names: Mapping[str, str]) -> str:
    return f"{_doc(schema)}export type {name} = {_type(schema, names)};"


def _doc(schema: Schema) -> str:
    said = schema.get("description") if isinstance(schema, dict) else None
    return f"/** {' '.join(said.replace('*/', '* /').split())} */\n" if said else ""


def _type(schema: Schema, names: Mapping[str, str]) -> str:
    """The type of a schema; what says nothing that TypeScript knows is unknown."""
    if not isinstance(schema, dict):
        return "never" if schema is False else "unknown"
    if "$ref" in schema:
        return names.get(str(schema["$ref"]).rpartition("/")[2], "unknown")
    if "const" in schema:
        return literal(schema["const"])
    if "enum" in schema:
        return " | ".join(map(literal, schema["enum"])) or "never"
    for joined, sign in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
        if joined in schema:
            parts = [_type(part, names) for part in schema[joined]]
            return sign.join(dict.fromkeys(f"({p})" if " " in p else p for p in parts))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, names) for one in kind)
    if kind == "array":
        return _array(schema, names)
    if kind == "object" or "properties" in schema:
        return _object(schema, names)
    return PLAIN.get(str(kind), "unknown")


def _array(schema: Mapping[str, Any], names: Mapping[str, str]) -> str:
    items = schema.get("items", True)
    if "prefixItems" not in schema:
        return f"Array<{_type(items, names)}>"
    parts = [_type(part, names) for part in schema["prefixItems"]]
    fixed = items is False or schema.get("maxItems") == len(parts)
    return f"[{', '.join(parts if fixed else [*parts, f'...Array<{_type(items, names)}>'])}]"


def _object(schema: Mapping[str, Any], names: Mapping[str, str]) -> str:
    fields, required = schema.get("properties", {}), schema.get("required", ())
    more = schema.get("additionalProperties")
    if not fields:
        of = "unknown" if more is None else _type(more, names)
        return f"Record<string, {of}>"
    lines = [
        f"{_doc(each)}{json.dumps(name)}{'' if name in required else '?'}: {_type(each, names)};"
        for name, each in fields.items()
    ]
    body = "{\n" + "\n".join(lines) + "\n}"
    return f"{body} & {{ [name: string]: unknown }}" if more else body
