"""The checkpoint that a client believes to be a thread's newest."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header

from graph.errors import BadInput


async def checkpoint_expected(
    if_match: Annotated[
        str | None,
        Header(description="A checkpoint id: 412 when it is not the thread's newest any more."),
    ] = None,
) -> str | None:
    """The id in `If-Match`, with or without an ETag's quotes; None without the header."""
    if if_match is None:
        return None
    try:
        return str(UUID(if_match.strip().strip('"')))
    except ValueError:
        raise BadInput(
            "header.If-Match: it must be the checkpoint_id of the thread's newest state"
        ) from None


IfMatch = Annotated[str | None, Depends(checkpoint_expected)]
