"""How a run wants its models called: `batch` and `priority` in its `config.configurable`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from graph.errors import BadInput


class CallOptions(BaseModel, strict=True, extra="ignore"):
    """A batch answers within a day at half the price; what is in the background gives way."""

    batch: bool = False
    priority: Literal["interactive", "background"] = "interactive"

    @property
    def background(self) -> bool:
        return self.batch or self.priority == "background"


def call_options(kwargs: Mapping[str, Any]) -> CallOptions:
    """The options of a run; raises BadInput for what cannot be understood."""
    asked = (kwargs.get("config") or {}).get("configurable") or {}
    try:
        return CallOptions.model_validate(asked)
    except ValidationError as error:
        wrong = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise BadInput(f"config.configurable.{wrong}") from error
