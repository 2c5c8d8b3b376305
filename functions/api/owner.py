"""Whose threads a request may see."""

from typing import Annotated

from fastapi import Depends

DEFAULT = "default"


async def owner_of() -> str:
    """The owner of all a request reads and makes; everybody is the same one so far."""
    return DEFAULT


Owner = Annotated[str, Depends(owner_of)]
