"""Whose rows a request works on."""

from typing import Annotated

from fastapi import Depends, Request

from functions.api.access.callers import Caller


async def owner_of(request: Request) -> str:
    """The owner of all a request reads and makes; the gate has found out who that is."""
    caller: Caller = request.state.caller
    return caller.owner


Owner = Annotated[str, Depends(owner_of)]
