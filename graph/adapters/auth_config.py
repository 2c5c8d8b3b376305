"""What langgraph.json says of who may call."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graph.errors import BadProject
from graph.runtime.models import Json

KNOWN = {"path", "openapi", "cache", "disable_studio_auth"}


@dataclass(frozen=True, slots=True)
class Cache:
    """`auth.cache`: whom the values of these headers, all together, have let in stays let in."""

    headers: tuple[str, ...]
    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class Security:
    """`auth.openapi`: how the OpenAPI document says that callers tell who they are."""

    schemes: Json
    security: list[Json] | None = None  # of every path
    paths: Json | None = None  # of some, by path and method


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """The file's `auth`."""

    path: str  # "./file.py:variable"
    cache: Cache | None
    openapi: Security | None
    wants_studio: bool  # asks that users of LangSmith's Studio pass by the handlers


def auth_config(said: Any) -> AuthConfig:
    """Raises BadProject for what LangGraph's format does not know: none of it is passed over."""
    said = _object("auth", said)
    if unknown := sorted(set(said) - KNOWN):
        raise BadProject(f"auth.{unknown[0]} is not known: there are {', '.join(sorted(KNOWN))}")
    path = said.get("path")
    if not isinstance(path, str) or ":" not in path:
        raise BadProject(f'auth.path must be "./file.py:variable", not {path!r}')
    return AuthConfig(
        path,
        _cache(said["cache"]) if said.get("cache") is not None else None,
        _security(said["openapi"]) if said.get("openapi") is not None else None,
        wants_studio=said.get("disable_studio_auth") is False,
    )


def _cache(said: Any) -> Cache:
    said = _object("auth.cache", said)
    names = said.get("cache_keys")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise BadProject(f"auth.cache.cache_keys must be a list of headers, not {names!r}")
    seconds = _positive(said, "ttl_seconds", 60, (int, float))
    return Cache(tuple(names), seconds, _positive(said, "max_size", 1000, int))


def _positive(said: Json, name: str, default: int, kind: Any) -> Any:
    value = said.get(name, default)
    if isinstance(value, bool) or not isinstance(value, kind) or value <= 0:
        raise BadProject(f"auth.cache.{name} must be a number above 0, not {value!r}")
    return value


def _security(said: Any) -> Security:
    said = _object("auth.openapi", said)
    schemes = _object("auth.openapi.securitySchemes", said.get("securitySchemes"))
    paths = {
        f"paths.{path}": _object(f"auth.openapi.paths.{path}", methods)
        for path, methods in _object("auth.openapi.paths", said.get("paths") or {}).items()
    }
    every = {"security": said.get("security", [])}
    every |= {f"{path}.{way}": need for path, ways in paths.items() for way, need in ways.items()}
    for where, asked in every.items():
        for name in _names(where, asked):
            if name not in schemes:
                raise BadProject(f"auth.openapi.{where}: securitySchemes has no {name!r}")
    return Security(schemes, said.get("security"), said.get("paths"))


def _names(where: str, asked: Any) -> Iterable[str]:
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise BadProject(f"auth.openapi.{where} must be a list of objects, not {asked!r}")
    return (name for one in asked for name in one)


def _object(name: str, said: Any) -> Json:
    if not isinstance(said, dict):
        raise BadProject(f"{name} must be an object, not {said!r}")
    return said
