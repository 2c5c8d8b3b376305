"""The way out of a webhook: one POST to an address that was looked at."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from graph.errors import Undelivered
from graph.public_web import Allowed, NoAddress, Refused, is_public, pinned

if TYPE_CHECKING:
    import httpx

SECONDS = 20.0  # for the whole of it
QUOTED = 300  # bytes of an answer that says no


class WebhookPost:
    """A `Post`; redirects are not followed, and of the answer no more is read than is quoted."""

    def __init__(self, *, allowed: Allowed = is_public, seconds: float = SECONDS) -> None:
        self.allowed = allowed
        self.seconds = seconds

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        import httpx  # wanted only where something is sent

        try:
            async with asyncio.timeout(self.seconds), httpx.AsyncClient(trust_env=False) as client:
                request = await pinned(
                    client, "POST", url, allowed=self.allowed, headers=headers, content=body
                )
                response = await client.send(request, stream=True)
                try:
                    await _accepted(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise Undelivered(f"no answer within {self.seconds:g} s") from error
        except (httpx.HTTPError, NoAddress) as error:
            raise Undelivered(str(error) or type(error).__name__) from error


async def _accepted(response: "httpx.Response") -> None:
    if response.is_success:
        return
    said = b""
    async for piece in response.aiter_raw():
        said += piece
        if len(said) >= QUOTED:
            break
    text = f"status {response.status_code}: {said[:QUOTED].decode(errors='replace')}"
    raise Refused(text) if response.status_code == 410 else Undelivered(text)
