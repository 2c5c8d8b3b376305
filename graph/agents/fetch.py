"""A page from the public internet, and only from there; redirects start over."""

import codecs
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from graph.public_web import Allowed, Refused, is_public, pinned

if TYPE_CHECKING:
    import httpx

BYTES = 500_000
REDIRECTS = 5
SECONDS = 10.0  # for each read and connect; the whole is bounded by whoever calls
TEXT = ("text/", "application/json", "application/xml", "application/xhtml+xml")


async def fetch(url: str, *, allowed: Allowed = is_public) -> str:
    """The text of a page; raises Refused, or httpx.HTTPError when the other side fails."""
    import httpx  # wanted only where a page is fetched

    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
        for _ in range(REDIRECTS + 1):
            request = await pinned(client, "GET", url, allowed=allowed)
            response = await client.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    return await _text(response)
                url = urljoin(url, response.headers["location"])
            finally:
                await response.aclose()
    raise Refused(f"more than {REDIRECTS} redirects")


async def _text(response: "httpx.Response") -> str:
    kind = response.headers.get("content-type", "text/plain").lower()
    if response.status_code != 200:
        raise Refused(f"the server answered with status {response.status_code}")
    if not kind.startswith(TEXT) or response.headers.get("content-encoding", "identity") != (
        "identity"
    ):
        raise Refused(f"the page is not plain text but {kind}")
    body = b""
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > BYTES:
            break
    text = body[:BYTES].decode(_charset(response), errors="replace")
    cut = "\n(The page goes on.)" if len(body) > BYTES else ""
    return (_readable(text) if "html" in kind else text) + cut


def _charset(response: "httpx.Response") -> str:
    try:
        return codecs.lookup(response.charset_encoding or "utf-8").name
    except LookupError:
        return "utf-8"


class _Words(HTMLParser):
    """Collects what a reader of the page sees."""

    HIDDEN = frozenset({"script", "style", "template", "noscript"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self.HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self.HIDDEN and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(" ".join(data.split()))


def _readable(html: str) -> str:
    words = _Words()
    words.feed(html)
    words.close()
    return "\n".join(words.words)
