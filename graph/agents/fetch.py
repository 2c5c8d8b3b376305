"""A page from the public internet, and only from there.

Every address a name leads to is checked, and the one that was checked is the one connected to, so
that a name cannot lead elsewhere a moment later. Redirects start over.
"""

import asyncio
import codecs
import socket
from collections.abc import Callable
from html.parser import HTMLParser
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urljoin

if TYPE_CHECKING:
    import httpx

Address = IPv4Address | IPv6Address

BYTES = 500_000
REDIRECTS = 5
SECONDS = 10.0  # for each read and connect; the whole is bounded by whoever calls
TEXT = ("text/", "application/json", "application/xml", "application/xhtml+xml")
# Public to look at, but they carry another address inside.
WRAPPED = [ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]


class Refused(Exception):
    """A page that is not fetched, and why."""


def is_public(address: Address) -> bool:
    """Whether an address is one that anybody on the internet can reach."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in WRAPPED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


async def fetch(url: str, *, allowed: Callable[[Address], bool] = is_public) -> str:
    """The text of a page; raises Refused, or httpx.HTTPError when the other side fails."""
    import httpx  # noqa: PLC0415 - wanted only where a page is fetched

    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
        for _ in range(REDIRECTS + 1):
            request = await _request(client, httpx.URL(url), allowed)
            response = await client.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    return await _text(response)
                url = urljoin(url, response.headers["location"])
            finally:
                await response.aclose()
    raise Refused(f"more than {REDIRECTS} redirects")


async def _request(
    client: "httpx.AsyncClient", url: "httpx.URL", allowed: Callable[[Address], bool]
) -> "httpx.Request":
    if url.scheme not in ("http", "https") or not url.host:
        raise Refused(f"{url} is not an http or https address")
    if url.userinfo:
        raise Refused("an address with a password in it is not fetched")
    addresses = await _resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
    if not all(allowed(address) for address in addresses):
        raise Refused(f"{url.host} is not on the public internet")
    return client.build_request(
        "GET",
        url.copy_with(host=str(addresses[0])),
        headers={
            "host": url.netloc.decode("ascii"),
            "accept-encoding": "identity",  # what is small packed may be large unpacked
            "user-agent": "baton",
        },
        extensions={"sni_hostname": url.raw_host.decode("ascii")},
    )


async def _resolve(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} has no address") from error
    return [ip_address(where[0]) for *_, where in found]


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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
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
