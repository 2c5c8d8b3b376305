"""Fetching a page: only public addresses, redirects looked at again, bounded in all ways."""

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from graph.agents import fetch
from graph.public_web import Address, Refused, is_public


class Site:
    """A tiny web server on loopback that answers each path as told."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def says(self, path: str, body: bytes, *, kind: str = "text/plain", **headers: str) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["HTTP/1.1 200 OK", f"content-type: {kind}", *lines, "", ""])
        self.answers[path] = head.encode() + body

    def sends_on(self, path: str, to: str) -> None:
        self.answers[path] = f"HTTP/1.1 302 Found\r\nlocation: {to}\r\n\r\n".encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(request)
        path = request.split()[1]
        writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\n\r\n"))
        await writer.drain()
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def anywhere(_: Address) -> bool:
    return True


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # where a cloud keeps its credentials
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ],
)
def test_no_private_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_public_addresses_are(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
async def test_loopback_is_refused_however_it_is_written(url: str) -> None:
    with pytest.raises(Refused, match="not on the public internet"):
        await fetch.fetch(url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/", "example.com", ""])
async def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(Refused, match="not an http or https address"):
        await fetch.fetch(url, allowed=anywhere)


async def test_a_password_is_not_sent(site: Site) -> None:
    with pytest.raises(Refused, match="password"):
        await fetch.fetch(site.url("/", "me:secret@127.0.0.1"), allowed=anywhere)
    assert site.asked == []


async def test_a_page_is_read_as_text(site: Site) -> None:
    site.says("/a", "Grüße".encode())
    assert await fetch.fetch(site.url("/a"), allowed=anywhere) == "Grüße"
    assert f"host: 127.0.0.1:{site.port}" in site.asked[0].lower()


async def test_html_is_read_as_a_person_sees_it(site: Site) -> None:
    page = b"<html><style>p{}</style><p>Hello,   <b>you</b></p><script>steal()</script><p>Bye"
    site.says("/a", page, kind="text/html; charset=utf-8")
    assert await fetch.fetch(site.url("/a"), allowed=anywhere) == "Hello,\nyou\nBye"


async def test_a_name_is_resolved_once_and_that_address_is_connected_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["127.0.0.1"])

    async def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    site.says("/a", b"found")
    assert await fetch.fetch(site.url("/a", "pages.example"), allowed=anywhere) == "found"
    assert f"host: pages.example:{site.port}" in site.asked[0].lower()


async def test_one_private_address_among_many_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_: Any, **__: Any) -> list[Any]:
        found = ["93.184.216.34", "10.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(Refused, match="not on the public internet"):
        await fetch.fetch("http://rebound.example/")


async def test_redirects_are_followed_and_looked_at_again(site: Site) -> None:
    seen: list[Address] = []

    def only_the_first(address: Address) -> bool:
        seen.append(address)
        return len(seen) == 1

    site.sends_on("/a", "/b")
    site.says("/b", b"the end")
    assert await fetch.fetch(site.url("/a"), allowed=anywhere) == "the end"
    with pytest.raises(Refused, match="not on the public internet"):
        await fetch.fetch(site.url("/a"), allowed=only_the_first)
    assert seen == [IPv4Address("127.0.0.1")] * 2
    assert len(site.asked) == 3


async def test_redirects_end(site: Site) -> None:
    site.sends_on("/a", "/a")
    with pytest.raises(Refused, match="more than 5 redirects"):
        await fetch.fetch(site.url("/a"), allowed=anywhere)
    assert len(site.asked) == 6


async def test_a_long_page_is_cut(site: Site) -> None:
    site.says("/a", b"x" * (fetch.BYTES + 10))
    text = await fetch.fetch(site.url("/a"), allowed=anywhere)
    assert text == "x" * fetch.BYTES + "\n(The page goes on.)"


@pytest.mark.parametrize(
    ("kind", "headers"),
    [("image/png", {}), ("application/zip", {}), ("text/plain", {"content_encoding": "gzip"})],
)
async def test_what_is_not_plain_text_is_refused(
    site: Site, kind: str, headers: dict[str, str]
) -> None:
    site.says("/a", b"\x00\x01", kind=kind, **headers)
    with pytest.raises(Refused, match="not plain text"):
        await fetch.fetch(site.url("/a"), allowed=anywhere)


async def test_an_error_of_the_server_is_told(site: Site) -> None:
    with pytest.raises(Refused, match="status 404"):
        await fetch.fetch(site.url("/none"), allowed=anywhere)


async def test_an_unknown_character_set_does_no_harm(site: Site) -> None:
    site.says("/a", b"plain", kind="text/plain; charset=nonsense")
    assert await fetch.fetch(site.url("/a"), allowed=anywhere) == "plain"


async def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(Refused, match="has no address"):
        await fetch.fetch("http://nowhere.invalid/")
