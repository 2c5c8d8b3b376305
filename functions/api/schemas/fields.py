"""What requests of several kinds may say; what they may say besides is ignored."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=10**9)]


class Sorted(BaseModel):
    """A page of what is found: what was made last comes first, unless it says otherwise."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: str | None = None
    sort_order: Literal["asc", "desc"] | None = None

    @property
    def page(self) -> dict[str, Any]:
        """As the engine's queries have it."""
        return {
            "limit": self.limit,
            "offset": self.offset,
            "sort_by": self.sort_by or "created_at",
            "descending": self.sort_order != "asc",
        }


class CheckpointRef(BaseModel):
    """A checkpoint as clients name it; which thread it is of, the path says."""

    checkpoint_id: UUID | None = None
    checkpoint_ns: str | None = None
    checkpoint_map: dict[str, str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_config(cls, value: Any) -> Any:
        """The JavaScript client names one by LangGraph's config."""
        return value.get("configurable", value) if isinstance(value, dict) else value
