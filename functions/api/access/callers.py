"""Who asks, and whose rows they work on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from graph.runtime.keys import LONGEST_OWNER, is_owner
from graph.runtime.models import Json
from graph.runtime.rendering import to_json

DEFAULT = "default"


class User:
    """A user as LangGraph's handlers know one: attributes, and fields by name."""

    def __init__(self, fields: Mapping[str, Any], original: Any = None) -> None:
        self._fields = dict(fields)
        self._original = original

    @property
    def identity(self) -> str:
        return str(self._fields["identity"])

    @property
    def display_name(self) -> str:
        return str(self._fields.get("display_name", self.identity))

    @property
    def is_authenticated(self) -> bool:
        return bool(self._fields.get("is_authenticated", True))

    @property
    def permissions(self) -> Sequence[str]:
        return list(self._fields.get("permissions") or ())

    def get(self, key: str, default: Any = None) -> Any:
        return self._fields.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._fields:
            return self._fields[name]
        return getattr(self._original, name)

    def to_dict(self) -> Json:
        """As JSON, for the run's config."""
        said: Json = orjson.loads(to_json(self._fields))
        return {**said, "identity": self.identity, "permissions": list(self.permissions)}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose rows a request works on, and who asks if that is known."""

    owner: str
    user: User | None = None


ANYBODY = Caller(DEFAULT)


def user_of(found: Any) -> User:
    """A user from what an `authenticate` handler returns: a text, a mapping or an object."""
    if isinstance(found, str):
        return User({"identity": found})
    if isinstance(found, Mapping) and "identity" in found:
        return User(found)
    if hasattr(found, "identity"):
        return User(_fields(found), found)
    raise TypeError(f"authenticate returned {type(found).__name__}: return a user's identity")


def _fields(found: Any) -> dict[str, Any]:
    """What an object says of itself, whatever kind of class it is."""
    own = found.model_dump() if hasattr(found, "model_dump") else getattr(found, "__dict__", {})
    known = ("identity", "display_name", "is_authenticated", "permissions")
    return {k: v for k, v in own.items() if not k.startswith("_")} | {
        name: getattr(found, name) for name in known if hasattr(found, name)
    }


def caller_of(user: User, claim: str) -> Caller:
    """The user as the owner of rows: by their identity, or by a claim that they must have then."""
    if claim and claim not in user:
        raise HTTPException(403, f"the user has no {claim!r}, which says whose rows are meant")
    owner = str(user[claim] or "") if claim else user.identity
    if not is_owner(owner):
        raise HTTPException(403, f"an owner has 1 to {LONGEST_OWNER} printable characters")
    return Caller(owner, user)
